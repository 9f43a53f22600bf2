"""Planning ahead over REST: the same body as a new job's, and what it would do as the answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transfers.api.permissions import needs
from transfers.api.serializers import JobRequestSerializer
from transfers.foresight import Preview, preview, unfit_sentence


class ForecastSerializer(serializers.Serializer[Any]):
    topology = serializers.CharField(help_text='"direct" is every node by itself from the bucket, without fdist')
    seconds = serializers.FloatField(help_text="until the last node has it")
    median_seconds = serializers.FloatField(help_text="until half of the nodes have it")
    efficiency = serializers.FloatField(help_text="(size / a node's rate) / seconds")
    bytes_from_bucket = serializers.IntegerField()
    amplification = serializers.FloatField(help_text="bytes out of the bucket / size")
    binds = serializers.CharField(
        help_text="what limits it: bucket, bucket_quota, network (or disk) of a node, peers, shards, straggler or hops"
    )
    why = serializers.CharField(help_text="that, with its numbers")
    terms: Any = serializers.DictField(child=serializers.FloatField(), help_text="seconds that each bound asks for")


class NodeRatesSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    down = serializers.FloatField(help_text="bytes a second")
    up = serializers.FloatField(help_text="bytes a second")
    measured = serializers.BooleanField(help_text="false where it is assumed")


class RatesSerializer(serializers.Serializer[Any]):
    node = serializers.FloatField(help_text="of the median node, bytes a second")
    bucket_read = serializers.FloatField(help_text="of one read from the bucket, bytes a second")
    bucket_read_measured = serializers.BooleanField(help_text="false where it is assumed")
    bucket_quota = serializers.FloatField(help_text="of all reads from the bucket together; assumed, bytes a second")
    measured_nodes = serializers.IntegerField(help_text="how many nodes' rates are measured; the others' are assumed")
    transfers = serializers.IntegerField(help_text="how many transfers of the last days they are measured from")
    slowest: Any = NodeRatesSerializer(many=True)


class FreedSerializer(serializers.Serializer[Any]):
    job = serializers.CharField()
    name = serializers.CharField()
    size = serializers.IntegerField()


class UnfitSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    disk_free = serializers.IntegerField()
    short_by = serializers.IntegerField()
    why = serializers.CharField()
    could_free: Any = FreedSerializer(many=True, help_text="finished jobs there, oldest first, whose purge gives room")


class LeftOutSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    state = serializers.CharField()


class RefusalSerializer(serializers.Serializer[Any]):
    field: Any = serializers.CharField()
    detail = serializers.CharField()


class PlanSerializer(serializers.Serializer[Any]):
    source: Any = serializers.CharField()
    topology = serializers.CharField()
    destination = serializers.CharField(help_text="folder below each node's data directory")
    size = serializers.IntegerField(help_text="bytes")
    file_count = serializers.IntegerField()
    shard_size = serializers.IntegerField(help_text="bytes; of the largest, for a manifest")
    shard_count = serializers.IntegerField()
    node_count = serializers.IntegerField(help_text="nodes that would get it at once")
    disk_needed = serializers.IntegerField(help_text="bytes on each node")
    disk_least_free = serializers.IntegerField(
        allow_null=True, help_text="bytes, of the node with the least; null when none has told"
    )
    fits = serializers.BooleanField(help_text="whether a job like this would be accepted now")
    refusal: Any = RefusalSerializer(allow_null=True, help_text="what the submission would answer; null when it fits")
    forecasts: Any = ForecastSerializer(many=True)
    rates: Any = RatesSerializer()
    unfit: Any = UnfitSerializer(many=True, help_text="nodes without room, those with the least first; at most 500")
    left_out: Any = LeftOutSerializer(
        many=True, help_text="nodes that are meant and not live; they get it when they are back; at most 500"
    )


class Plan(APIView):
    permission_classes = [needs("transfers.add_job")]
    throttle_scope = "plan"

    @extend_schema(request=JobRequestSerializer, responses={200: PlanSerializer}, operation_id="plan")
    def post(self, request: Request, **kwargs: Any) -> Response:
        """Says what a job would do, and does nothing: shards, bytes out of the bucket, time by topology, disk.

        A request that no job could come of is refused as the job would be. A node without room is in the answer.
        """
        asked = JobRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(PlanSerializer(as_plain(preview(asked.validated_data))).data)


def as_plain(found: Preview) -> dict[str, Any]:
    plan, layout = found.plan, found.plan.layout
    return {
        "source": plan.request.source,
        "topology": plan.request.topology,
        "destination": plan.destination,
        "size": layout.size,
        "file_count": len(layout.files),
        "shard_size": layout.shard_size,
        "shard_count": layout.shard_count,
        "node_count": len(plan.facts),
        "disk_needed": found.disk_needed,
        "disk_least_free": found.tightest.disk_free if found.tightest else None,
        "fits": found.refusal is None,
        "refusal": {"field": found.refusal[0], "detail": found.refusal[1]} if found.refusal else None,
        "forecasts": [
            {**vars(each), "amplification": each.bytes_from_bucket / layout.size} for each in found.forecasts
        ],
        "rates": found.rates,
        "unfit": [{**vars(node), "why": unfit_sentence(node)} for node in found.unfit],
        "left_out": found.left_out,
    }
