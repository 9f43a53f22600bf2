"""Standing distributions as JSON: what one sends to make or change one, and what one reads."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from transfers.api.serializers import BudgetField, SelectorField
from transfers.dataplane.current import LINK
from transfers.models import Policy, Standing, StandingEvent, StandingNode, StandingVersion, Topology
from transfers.standing.report import STATE_HELP, STATES, state_of, version_state
from transfers.standing.request import LONGEST, MAX_DESTINATION, MAX_KEPT, MAX_MARKER

NAME_LENGTH = 63
VERSION_STATES = ("current", "kept", "moving", "failed", "removed")
COPIES = ("keep", "purge")


class JobLimitsSerializer(serializers.Serializer[Any]):
    """Of each version's job; those that are left out are as a job has them."""

    topology = serializers.ChoiceField(choices=Topology.choices, required=False)
    shard_size = serializers.IntegerField(required=False, allow_null=True, help_text="bytes")
    gcs_slots = serializers.IntegerField(required=False, help_text="reads from the bucket at once")
    upload_slots = serializers.IntegerField(required=False, allow_null=True)
    download_slots = serializers.IntegerField(required=False, allow_null=True)
    priority = serializers.IntegerField(required=False, help_text="a higher one goes first")
    policy = serializers.ChoiceField(choices=Policy.choices, required=False, help_text="of a mesh")
    own_zone = serializers.BooleanField(
        required=False, help_text="whether nodes of a mesh take from their own zone (their label zone) what it has"
    )
    bucket_budget = BudgetField(required=False, allow_null=True)


class StandingChangeSerializer(JobLimitsSerializer):
    """Those that are left out stay as they are. What is of jobs counts for versions that start from now on."""

    nodes = SelectorField(required=False)
    share = serializers.FloatField(
        required=False, max_value=1.0, help_text="part of the nodes that must have a version before it is used"
    )
    versions_kept = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_KEPT, help_text="the current one among them"
    )
    check_seconds = serializers.IntegerField(
        required=False, min_value=1, max_value=LONGEST, help_text="between two looks at the source"
    )
    settle_seconds = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=LONGEST,
        help_text="for which the source must be unchanged, in two listings at least, before it becomes a version",
    )
    marker = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=MAX_MARKER,
        help_text="an object of the prefix, whose new generation says that an upload is whole",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError(f"give one of {', '.join(self.fields)} at least")
        return attrs


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a model on every node with a label, always the newest",
            value={
                "name": "llama",
                "source": "gs://weights/llama-70b/",
                "nodes": {"labels": {"model": "llama"}},
                "destination": "models/llama",
                "share": 0.95,
                "marker": "_SUCCESS",
            },
            request_only=True,
        )
    ]
)
class StandingRequestSerializer(StandingChangeSerializer):
    """Shape only: what the values mean is checked by transfers.standing, the same for every way in."""

    name = serializers.CharField(max_length=NAME_LENGTH, help_text="lower-case letters, digits and . _ -")
    source: Any = serializers.CharField(
        max_length=1024, help_text="gs://bucket/object, gs://bucket/prefix/ or a manifest"
    )
    destination = serializers.CharField(
        max_length=MAX_DESTINATION,
        required=False,
        allow_blank=True,
        help_text="folder with the versions and the link, below the data directory; the source's own unless given",
    )


class StandingSerializer(serializers.ModelSerializer[Standing]):
    nodes = SelectorField(source="selector", read_only=True)
    link = serializers.SerializerMethodField(help_text="what programs use, below each data directory")
    topology = serializers.SerializerMethodField()
    options = serializers.SerializerMethodField(help_text="of each version's job, as they were asked for")
    state = serializers.SerializerMethodField(help_text=STATE_HELP)
    current_version: Any = serializers.IntegerField(source="current_number", read_only=True, allow_null=True)
    current_job: Any = serializers.UUIDField(source="wanted.job_id", read_only=True, allow_null=True, default=None)
    current_at: Any = serializers.DateTimeField(
        source="wanted.current_at", read_only=True, allow_null=True, default=None
    )
    reached_at: Any = serializers.DateTimeField(
        source="wanted.reached_at",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="when the share of nodes used it",
    )
    newest_version = serializers.IntegerField(read_only=True, help_text="0 before the first")
    nodes_total = serializers.IntegerField(read_only=True)
    nodes_up = serializers.IntegerField(read_only=True)
    nodes_current = serializers.IntegerField(read_only=True, help_text="that are up and use the current version")
    nodes_behind = serializers.IntegerField(read_only=True, help_text="that are up and do not")
    created_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = Standing
        fields = [
            "name",
            "state",
            "source",
            "nodes",
            "destination",
            "link",
            "topology",
            "options",
            "share",
            "versions_kept",
            "check_seconds",
            "settle_seconds",
            "marker",
            "paused",
            "passed_over",
            "current_version",
            "current_job",
            "current_at",
            "reached_at",
            "newest_version",
            "nodes_total",
            "nodes_up",
            "nodes_current",
            "nodes_behind",
            "trouble",
            "checked_at",
            "check_at",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    def get_link(self, standing: Standing) -> str:
        return f"{standing.destination}/{LINK}" if standing.destination else LINK

    @extend_schema_field(serializers.ChoiceField(choices=Topology.choices))
    def get_topology(self, standing: Standing) -> str:
        return str(standing.options.get("topology", Topology.MESH))

    @extend_schema_field(JobLimitsSerializer)
    def get_options(self, standing: Standing) -> dict[str, Any]:
        return dict(standing.options)

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, standing: Standing) -> str:
        return state_of(standing)


class StandingVersionSerializer(serializers.ModelSerializer[StandingVersion]):
    state = serializers.SerializerMethodField()
    size = serializers.IntegerField(source="job.size", read_only=True)
    file_count = serializers.IntegerField(source="job.file_count", read_only=True)
    job_state = serializers.CharField(source="job.state", read_only=True)
    error = serializers.CharField(source="failure", read_only=True)
    nodes_total = serializers.IntegerField(read_only=True, help_text="on the list of its job")
    nodes_ready = serializers.IntegerField(read_only=True, help_text="that have all of it")
    nodes_failed = serializers.IntegerField(read_only=True)
    nodes_using = serializers.IntegerField(read_only=True, help_text="whose link names it")

    class Meta:
        model = StandingVersion
        fields = [
            "number",
            "state",
            "job",
            "job_state",
            "error",
            "size",
            "file_count",
            "nodes_total",
            "nodes_ready",
            "nodes_failed",
            "nodes_using",
            "created_at",
            "current_at",
            "reached_at",
            "retired_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=VERSION_STATES))
    def get_state(self, version: StandingVersion) -> str:
        return version_state(version, version.standing)


class StandingNodeSerializer(serializers.ModelSerializer[StandingNode]):
    node = serializers.CharField(source="node.name", read_only=True)
    node_state = serializers.CharField(source="node.state", read_only=True)
    version: Any = serializers.IntegerField(
        source="uses.number", read_only=True, default=None, allow_null=True, help_text="that its link names"
    )
    behind = serializers.BooleanField(read_only=True, help_text="whether it is up and does not use the current version")

    class Meta:
        model = StandingNode
        fields = ["node", "node_state", "version", "behind", "leaving", "why", "changed_at"]
        read_only_fields = fields


class StandingEventSerializer(serializers.ModelSerializer[StandingEvent]):
    class Meta:
        model = StandingEvent
        fields = ["id", "at", "kind", "version", "node", "why"]
        read_only_fields = fields


class RollbackSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=2**31 - 1, help_text="the one before, unless given"
    )
