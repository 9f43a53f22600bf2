"""Jobs over REST. Thin: shape in, `transfers.submission`, rows out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.models import Aggregate, BigIntegerField, Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.throttling import BaseThrottle

from transfers import reopening, submission
from transfers.api.filters import JobFilter
from transfers.api.permissions import ModelPermissions, needs
from transfers.api.serializers import CancelSerializer, JobChangeSerializer, JobRequestSerializer, JobSerializer
from transfers.audit import note
from transfers.models import Job, JobNode, JobNodeState
from transfers.repeats import Repeated, Stamp, find_repeated


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


MAX_KEY = 255
CHANGE = [needs("transfers.change_job")]
KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Any text of yours, a new one for each job. Sent again with it, the same request gives the same job.",
)


class JobViewSet(
    mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Job]
):
    """Distributions: submit them, see them, steer them, end them."""

    queryset = Job.objects.all()
    serializer_class = JobSerializer
    permission_classes = [ModelPermissions]
    filterset_class = JobFilter
    ordering_fields = ["created_at", "finished_at", "priority", "size", "state"]
    ordering = ["-created_at", "id"]
    lookup_value_regex = "[0-9a-f-]{32,36}"
    problems = {"create": (422,)} | dict.fromkeys(
        ("cancel", "pause", "resume", "retry", "verify", "purge", "pin", "partial_update"), (409,)
    )

    def get_queryset(self) -> QuerySet[Job]:
        return with_counts(Job.objects.filter(cell=settings.FDIST_CELL).select_related("created_by"))

    def get_throttles(self) -> list[BaseThrottle]:
        self.throttle_scope = "submit" if self.action == "create" else None
        return super().get_throttles()

    @extend_schema(request=JobRequestSerializer, responses={201: JobSerializer}, parameters=[KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Submits a job. It runs by itself from here on; read it, or its events, to follow it."""
        asked = JobRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        stamp = self._stamp(request, asked.validated_data)
        job = find_repeated(stamp, request.user, settings.FDIST_CELL) if stamp else None
        if job is None:
            try:
                job = submission.submit(asked.validated_data, request.user, stamp=stamp)
                note(request.user, job, "Submitted", made=True, where="by the API")
            except Repeated as repeated:
                assert stamp is not None  # noqa: S101  (nothing else is recognised)
                job = stamp.check(repeated.job)
        place = reverse("job-detail", kwargs={**self.kwargs, "pk": job.pk}, request=request)
        return Response(self._read(job), status=status.HTTP_201_CREATED, headers={"Location": place})

    @extend_schema(request=JobChangeSerializer, responses={200: JobSerializer})
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The priority of an open job, from the next match on; the bucket budget of one that has ended, for a retry."""
        asked = JobChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        changes = asked.validated_data
        what = ", ".join(f"{name} set to {value}" for name, value in changes.items())
        return self._act(request, what.capitalize(), lambda job: submission.change(job, changes))

    @extend_schema(request=CancelSerializer, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.cancel_job")])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """Ends an open job. What nodes have not finished is removed there; finished files stay."""
        asked = CancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        reason = asked.validated_data["reason"]
        return self._act(request, "Cancelled", lambda job: submission.cancel(job, reason))

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """No shard begins after this; what is under way ends."""
        return self._act(request, "Paused", lambda job: submission.pause(job, reason=f"by {request.user}"))

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Goes on after a pause."""
        return self._act(request, "Resumed", lambda job: submission.resume(job, reason=f"by {request.user}"))

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def retry(self, request: Request, **kwargs: Any) -> Response:
        """Goes on with a job that has ended, for the nodes that are not done; only what they lack moves."""
        return self._act(request, "Retried", reopening.retry)

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def verify(self, request: Request, **kwargs: Any) -> Response:
        """Has nodes that are done read their files again; what is damaged is fetched anew.

        A job that has ended runs meanwhile, and is complete when every node has shown that its files are whole.
        """
        return self._act(request, "Verified", reopening.verify)

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.purge_job")])
    def purge(self, request: Request, **kwargs: Any) -> Response:
        """Removes the files of a job that has ended from its nodes."""
        return self._act(request, "Purged", submission.purge)

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def pin(self, request: Request, **kwargs: Any) -> Response:
        """Nodes keep its files, whatever needs room, until it is unpinned or purged; also nodes that come later."""
        return self._act(request, "Pinned", submission.pin)

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def unpin(self, request: Request, **kwargs: Any) -> Response:
        """Its files may make room again, when they are those that were wanted least lately."""
        return self._act(request, "Unpinned", submission.unpin)

    def _act(self, request: Request, what: str, act: Callable[[Job], object]) -> Response:
        job = self.get_object()
        act(job)
        note(request.user, job, what, where="by the API")
        return Response(self._read(job))

    def _read(self, job: Job) -> Any:
        return JobSerializer(self.get_queryset().get(pk=job.pk)).data

    def _stamp(self, request: Request, asked: dict[str, Any]) -> Stamp | None:
        key = request.headers.get("Idempotency-Key", "").strip()
        if len(key) > MAX_KEY:
            raise ValidationError({"Idempotency-Key": [f"at most {MAX_KEY} characters, this one has {len(key)}"]})
        return Stamp.of(key, asked) if key else None


@extend_schema(exclude=True)
@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
def nothing_here(request: Request, /, **kwargs: Any) -> Response:
    """Addresses that are none: a program gets a problem that it can read, and no page."""
    raise NotFound
