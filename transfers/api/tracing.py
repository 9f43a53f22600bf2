"""One shard's life over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transfers.api.permissions import needs
from transfers.links import get_links
from transfers.models import Job, Shard
from transfers.tracing import trace

MAX_NAME = 63


class StepSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    what = serializers.CharField(
        help_text="assigned, started, first byte, verified, failed, expired, corrupt, or moving for what is not over"
    )
    node = serializers.CharField(help_text="who receives")
    source: Any = serializers.CharField(help_text='a node, or "bucket"')
    bytes = serializers.IntegerField(allow_null=True, help_text="moved by then, where that is known")
    why = serializers.CharField(allow_blank=True)


class TraceSerializer(serializers.Serializer[Any]):
    shard = serializers.IntegerField(source="shard.index")
    offset = serializers.IntegerField(source="shard.offset")
    size = serializers.IntegerField(source="shard.size")
    crc32c = serializers.IntegerField(source="shard.crc32c", allow_null=True)
    copies = serializers.IntegerField(allow_null=True, help_text="live ones; null when the scheduler does not say")
    steps = StepSerializer(many=True)
    served: Any = serializers.DictField(
        child=serializers.IntegerField(), help_text='how often each node, or the "bucket", gave it whole'
    )
    left_out = serializers.IntegerField(help_text="transfers that are not shown: ask for a node")


class _TraceQuery(serializers.Serializer[Any]):
    node = serializers.CharField(required=False, max_length=MAX_NAME)


class ShardTrace(APIView):
    """When a shard was assigned, came, was verified and was passed on: of all nodes, or of one."""

    permission_classes = [needs("transfers.view_job")]
    problems = {"get": (400,)}

    @extend_schema(
        responses={200: TraceSerializer},
        parameters=[OpenApiParameter("node", OpenApiTypes.STR, description="that received or gave it")],
    )
    def get(self, request: Request, pk: UUID, index: int, **kwargs: Any) -> Response:
        """The shard's life, oldest first."""
        asked = _TraceQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        job = get_object_or_404(Job, pk=pk, cell=settings.FDIST_CELL)
        try:
            found = trace(job, min(index, 2**31 - 1), get_links(), asked.validated_data.get("node", ""))
        except Shard.DoesNotExist:
            raise NotFound(f"job {job.id.hex} has {job.shard_count:,} shards, from 0 on") from None
        return Response(TraceSerializer(found).data)
