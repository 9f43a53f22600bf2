"""Jobs as JSON: what one sends to make one, and what one reads."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from nodes.labels import FORMS as SELECTOR_FORMS
from transfers.models import Job, JobEvent, JobFile, JobNode, JobNodeState, Policy, Shard, Topology, Transfer
from transfers.planning.budget import FORMS, MOST_BYTES
from transfers.planning.request import DEFAULT_GCS_SLOTS, MAX_NAME, MAX_PRIORITY

SELECTOR_SCHEMA = {
    "description": f"Which nodes: {SELECTOR_FORMS}. Nodes that match later are enrolled then.",
    "oneOf": [
        {
            "type": "object",
            "properties": {"all": {"type": "boolean", "enum": [True]}},
            "required": ["all"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"names": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
            "required": ["names"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "labels": {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
            },
            "required": ["labels"],
            "additionalProperties": False,
        },
    ],
}


@extend_schema_field(SELECTOR_SCHEMA)
class SelectorField(serializers.JSONField):
    """Checked by planning, which knows what it means."""


@extend_schema_field(
    {
        "description": f"What may be read from the bucket: {FORMS}. The job fails rather than pass it.",
        "oneOf": [
            {"type": "integer", "minimum": 1, "maximum": MOST_BYTES},
            {"type": "string", "pattern": "^[0-9]{1,6}(\\.[0-9]{1,6})? ?x$"},
            {"type": "string", "pattern": "^[0-9]{1,6} ?[kMGTP]i?B$"},
        ],
    }
)
class BudgetField(serializers.JSONField):
    """Checked by planning, which knows what it means."""


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a model to every GPU server of a zone",
            value={
                "source": "gs://weights/llama-70b/",
                "topology": "mesh",
                "nodes": {"labels": {"zone": "europe-west4-a"}},
                "destination": "models/llama-70b",
            },
            request_only=True,
        )
    ]
)
class JobRequestSerializer(serializers.Serializer[Any]):
    """Shape only: what the values mean is checked by planning, the same for every way in."""

    source: Any = serializers.CharField(
        max_length=1100, help_text="gs://bucket/object, gs://bucket/prefix/ or a manifest"
    )
    name = serializers.CharField(max_length=MAX_NAME, required=False, allow_blank=True)
    topology = serializers.ChoiceField(choices=Topology.choices, default=Topology.MESH)
    nodes = SelectorField(required=False, default={"all": True})
    destination = serializers.CharField(
        max_length=1024,
        required=False,
        allow_blank=True,
        help_text="folder below the data directory; the source's own unless given",
    )
    shard_size = serializers.IntegerField(
        required=False, allow_null=True, help_text="bytes; chosen by size unless given"
    )
    gcs_slots = serializers.IntegerField(default=DEFAULT_GCS_SLOTS, help_text="reads from the bucket at once")
    upload_slots = serializers.IntegerField(required=False, allow_null=True)
    download_slots = serializers.IntegerField(required=False, allow_null=True)
    priority = serializers.IntegerField(default=0, help_text="a higher one goes first")
    policy = serializers.ChoiceField(choices=Policy.choices, default=Policy.RAREST_FIRST, help_text="of a mesh")
    quorum = serializers.FloatField(
        default=1.0, max_value=1.0, help_text="the part of the nodes with which it is ready, above 0"
    )
    own_zone = serializers.BooleanField(
        default=True, help_text="whether nodes of a mesh take from their own zone (their label zone) what it has"
    )
    bucket_budget = BudgetField(required=False, allow_null=True)


class JobSerializer(serializers.ModelSerializer[Job]):
    nodes = serializers.JSONField(source="selector", read_only=True)
    created_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    nodes_total = serializers.IntegerField(read_only=True)
    nodes_done = serializers.IntegerField(read_only=True)
    nodes_failed = serializers.IntegerField(read_only=True)
    shards_held = serializers.IntegerField(read_only=True, help_text="over all nodes")
    amplification = serializers.FloatField(read_only=True, help_text="bytes out of the bucket / size")

    class Meta:
        model = Job
        fields = [
            "id",
            "name",
            "state",
            "error",
            "source",
            "topology",
            "nodes",
            "destination",
            "size",
            "file_count",
            "shard_size",
            "shard_count",
            "gcs_slots",
            "upload_slots",
            "download_slots",
            "priority",
            "policy",
            "quorum",
            "own_zone",
            "bucket_budget",
            "pinned",
            "nodes_total",
            "nodes_done",
            "nodes_failed",
            "shards_held",
            "bytes_from_gcs",
            "bytes_from_peers",
            "bytes_across_zones",
            "amplification",
            "created_by",
            "created_at",
            "started_at",
            "ready_at",
            "stalled_at",
            "finished_at",
            "purged_at",
        ]
        read_only_fields = fields


class JobChangeSerializer(serializers.Serializer[Any]):
    """One of them at a time: they are of jobs in different states."""

    priority = serializers.IntegerField(
        required=False, min_value=-MAX_PRIORITY, max_value=MAX_PRIORITY, help_text="a higher one goes first"
    )
    bucket_budget = BudgetField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError(f"give one of {', '.join(self.fields)}")
        return attrs


class CancelSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class JobNodeSerializer(serializers.ModelSerializer[JobNode]):
    node = serializers.CharField(source="node.name", read_only=True)
    node_state = serializers.CharField(source="node.state", read_only=True)
    state = serializers.ChoiceField(choices=JobNodeState.choices, read_only=True)

    class Meta:
        model = JobNode
        fields = [
            "node",
            "node_state",
            "state",
            "shards_held",
            "bytes_from_gcs",
            "bytes_from_peers",
            "failures",
            "error",
            "enrolled_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


class JobFileSerializer(serializers.ModelSerializer[JobFile]):
    class Meta:
        model = JobFile
        fields = ["index", "name", "size", "crc32c", "object", "generation"]
        read_only_fields = fields


class ShardSerializer(serializers.ModelSerializer[Shard]):
    copies = serializers.SerializerMethodField(help_text="live ones; null when the scheduler does not have the job")

    class Meta:
        model = Shard
        fields = ["index", "offset", "size", "crc32c", "copies"]
        read_only_fields = fields

    def get_copies(self, shard: Shard) -> int | None:
        copies: list[int] = self.context.get("copies", [])
        return copies[shard.index] if shard.index < len(copies) else None


class JobEventSerializer(serializers.ModelSerializer[JobEvent]):
    node: Any = serializers.CharField(source="node.name", read_only=True, allow_null=True, default=None)

    class Meta:
        model = JobEvent
        fields = ["id", "at", "kind", "node", "state", "why"]
        read_only_fields = fields


class TransferSerializer(serializers.ModelSerializer[Transfer]):
    node = serializers.CharField(source="node.name", read_only=True)
    source: Any = serializers.CharField(
        source="source.name", read_only=True, allow_null=True, default=None, help_text="null is the bucket"
    )

    class Meta:
        model = Transfer
        fields = ["id", "job", "shard", "node", "source", "outcome", "why", "bytes", "milliseconds", "ended_at"]
        read_only_fields = fields
