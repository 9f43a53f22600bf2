"""What belongs to one job over REST: its nodes, files, shards, events and transfers, each a list of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import redis
from django.conf import settings
from django.db.models import Model, QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.generics import ListAPIView, get_object_or_404

from transfers.api.filters import JobEventFilter, JobFileFilter, JobNodeFilter, ShardFilter, TransferFilter
from transfers.api.pagination import EventPages, History
from transfers.api.permissions import needs
from transfers.api.serializers import (
    JobEventSerializer,
    JobFileSerializer,
    JobNodeSerializer,
    ShardSerializer,
    TransferSerializer,
)
from transfers.links import get_links
from transfers.models import Job, JobEvent, JobFile, JobNode, Shard, Transfer

Row = TypeVar("Row", bound=Model)


class PartsOfJob(ListAPIView[Row], Generic[Row]):
    """Rows that point to the job of the address; who may see the job may see them."""

    permission_classes = [needs("transfers.view_job")]

    def get_queryset(self) -> QuerySet[Row]:
        rows: QuerySet[Row] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):  # the schema is made without an address
            return rows
        job = get_object_or_404(Job, pk=self.kwargs["pk"], cell=settings.FDIST_CELL)
        return rows.filter(job=job)


class JobNodes(PartsOfJob[JobNode]):
    """How far each node is."""

    queryset = JobNode.objects.select_related("node")
    serializer_class = JobNodeSerializer
    filterset_class = JobNodeFilter
    ordering_fields = ["node__name", "shards_held", "finished_at"]
    ordering = ["id"]


class JobFiles(PartsOfJob[JobFile]):
    """The files, pinned to the generation that the bucket had when the job was planned."""

    queryset = JobFile.objects.all()
    serializer_class = JobFileSerializer
    filterset_class = JobFileFilter
    ordering_fields = ["index", "size"]
    ordering = ["index"]


class JobShards(PartsOfJob[Shard]):
    """How the payload is cut, the digests found so far, and how many nodes hold each shard now."""

    queryset = Shard.objects.all()
    serializer_class = ShardSerializer
    filterset_class = ShardFilter
    ordering_fields = ["index", "size"]
    ordering = ["index"]

    def get_serializer_context(self) -> Mapping[str, Any]:
        context = super().get_serializer_context()
        if getattr(self, "swagger_fake_view", False):
            return context
        try:
            copies = get_links().scheduler.rarity(self.kwargs["pk"].hex)
        except redis.RedisError:  # the rest of it is in the record
            copies = []
        return {**context, "copies": copies}


class JobEvents(PartsOfJob[JobEvent]):
    """What happened, oldest first. To follow a job, ask again with `after`, the last id that you saw."""

    queryset = JobEvent.objects.select_related("node")
    serializer_class = JobEventSerializer
    filterset_class = JobEventFilter
    filter_backends = [DjangoFilterBackend]
    pagination_class = EventPages


class JobTransfers(PartsOfJob[Transfer]):
    """What moved, or failed to, newest first."""

    queryset = Transfer.objects.select_related("node", "source")
    serializer_class = TransferSerializer
    filterset_class = TransferFilter
    filter_backends = [DjangoFilterBackend]
    pagination_class = History
