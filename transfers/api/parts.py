"""What belongs to one job over REST: its nodes, files and transfers, each a list of its own."""

from __future__ import annotations

from typing import Generic, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from rest_framework.generics import ListAPIView, get_object_or_404

from transfers.api.filters import JobFileFilter, JobNodeFilter, TransferFilter
from transfers.api.permissions import needs
from transfers.api.serializers import JobFileSerializer, JobNodeSerializer, TransferSerializer
from transfers.models import Job, JobFile, JobNode, Transfer

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


class JobTransfers(PartsOfJob[Transfer]):
    """What moved, or failed to, newest first."""

    queryset = Transfer.objects.select_related("node", "source")
    serializer_class = TransferSerializer
    filterset_class = TransferFilter
    ordering_fields = ["ended_at", "id"]
    ordering = ["-ended_at", "-id"]
