"""Jobs over REST. Thin: shape in, `transfers.submission`, rows out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Aggregate, BigIntegerField, Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from transfers import submission
from transfers.api.filters import JobFilter
from transfers.api.permissions import ModelPermissions, needs
from transfers.api.serializers import CancelSerializer, JobRequestSerializer, JobSerializer
from transfers.models import Job, JobNode, JobNodeState


def with_counts(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Jobs with figures of their nodes: how many, done, failed, and shards held; one index range a job and figure."""

    def figure(of: Aggregate, **only: str) -> Coalesce:
        rows = JobNode.objects.filter(job=OuterRef("pk"), **only).order_by().values("job").annotate(n=of)
        return Coalesce(Subquery(rows.values("n"), output_field=BigIntegerField()), 0)

    return jobs.annotate(
        nodes_total=figure(Count("pk")),
        nodes_done=figure(Count("pk"), state=JobNodeState.DONE),
        nodes_failed=figure(Count("pk"), state=JobNodeState.FAILED),
        shards_held=figure(Sum("shards_held")),
        shards_wanted=F("shard_count") * F("nodes_total"),
    )


class JobViewSet(
    mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Job]
):
    """Distributions: submit them, see them, end them."""

    queryset = Job.objects.all()
    serializer_class = JobSerializer
    permission_classes = [ModelPermissions]
    filterset_class = JobFilter
    ordering_fields = ["created_at", "finished_at", "priority", "size", "state"]
    ordering = ["-created_at", "id"]

    lookup_value_regex = "[0-9a-f-]{32,36}"

    def get_queryset(self) -> QuerySet[Job]:
        return with_counts(Job.objects.filter(cell=settings.FDIST_CELL).select_related("created_by"))

    @extend_schema(request=JobRequestSerializer, responses={201: JobSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Submits a job. It runs by itself from here on; read it, or its events, to follow it."""
        asked = JobRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        job = submission.submit(asked.validated_data, request.user)
        place = reverse("job-detail", kwargs={**self.kwargs, "pk": job.pk}, request=request)
        return Response(self._read(job), status=status.HTTP_201_CREATED, headers={"Location": place})

    @extend_schema(request=CancelSerializer, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.cancel_job")])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """Ends an open job. What nodes have not finished is removed there; finished files stay."""
        asked = CancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        job = self.get_object()
        submission.cancel(job, asked.validated_data["reason"])
        return Response(self._read(job))

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.change_job")])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """No shard begins after this; what is under way ends."""
        job = self.get_object()
        submission.pause(job)
        return Response(self._read(job))

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.change_job")])
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Goes on after a pause."""
        job = self.get_object()
        submission.resume(job)
        return Response(self._read(job))

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.purge_job")])
    def purge(self, request: Request, **kwargs: Any) -> Response:
        """Removes the files of a job that has ended from its nodes."""
        job = self.get_object()
        submission.purge(job)
        return Response(self._read(job))

    def _read(self, job: Job) -> Any:
        return JobSerializer(self.get_queryset().get(pk=job.pk)).data
