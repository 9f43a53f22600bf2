"""Transfers of all jobs over REST: those under way, from the scheduler, and those that ended, from the record."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from nodes.models import Node
from transfers.api.filters import HistoryFilter
from transfers.api.pagination import History, Pages
from transfers.api.permissions import needs
from transfers.api.serializers import TransferSerializer
from transfers.links import get_links
from transfers.models import Transfer


class Transfers(ListAPIView[Transfer]):
    """What moved, or failed to, newest first, of every job."""

    queryset = Transfer.objects.select_related("node", "source")
    serializer_class = TransferSerializer
    permission_classes = [needs("transfers.view_transfer")]
    filterset_class = HistoryFilter
    filter_backends = [DjangoFilterBackend]
    pagination_class = History

    def get_queryset(self) -> QuerySet[Transfer]:
        # Without the others', and not with the cell's: the database would begin with those nodes and sort all that they
        # ever received, where it is to walk along the newest transfers and stop at the end of the page.
        return super().get_queryset().exclude(node__in=Node.objects.exclude(cell=settings.FDIST_CELL))


class ActiveTransferSerializer(serializers.Serializer[Any]):
    lease = serializers.CharField()
    job = serializers.UUIDField()
    shard = serializers.IntegerField()
    node = serializers.CharField()
    source: Any = serializers.CharField(allow_null=True, help_text="null is the bucket")
    bytes = serializers.IntegerField(help_text="that have arrived")
    started = serializers.IntegerField(help_text="ms since 1970, by the scheduler's clock")
    expires = serializers.IntegerField(help_text="the same; when it ends unless more bytes arrive, if it has begun")
    follows = serializers.CharField(help_text="the lease of another from its source; it begins when that is over")


class ActiveTransfers(APIView):
    """What moves now, oldest first."""

    permission_classes = [needs("transfers.view_transfer")]

    @extend_schema(
        responses={200: ActiveTransferSerializer(many=True)},
        parameters=[
            OpenApiParameter("job", OpenApiTypes.UUID),
            OpenApiParameter("node", OpenApiTypes.STR, description="that receives or gives"),
        ],
    )
    def get(self, request: Request, **kwargs: Any) -> Response:
        asked = _ActiveQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        job, node = asked.validated_data.get("job"), asked.validated_data.get("node")
        leases = get_links().scheduler.leases(job.hex if job else None)
        rows = [
            {**asdict(lease), "job": UUID(hex=lease.job), "source": lease.source or None}
            for lease in sorted(leases, key=lambda lease: (lease.started, lease.lease))
            if node is None or node in (lease.node, lease.source)
        ]
        pages: Pages = self.pagination_class()
        page: Any = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(ActiveTransferSerializer(page, many=True).data)

    pagination_class = Pages


class _ActiveQuery(serializers.Serializer[Any]):
    job = serializers.UUIDField(required=False)
    node = serializers.CharField(required=False, max_length=63)
