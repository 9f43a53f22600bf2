"""A job: one distribution of one payload to a set of nodes, and the states it may go through."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from transfers.errors import InvalidTransition
from transfers.models.states import (
    FINAL_STATES,
    MOVES,
    OPEN_STATES,
    UNFINISHED_NODES,
    JobNodeState,
    JobState,
    Policy,
    Topology,
)

if TYPE_CHECKING:
    from transfers.models.progress import JobNode


TRIED_AGAIN = (JobNodeState.STOPPED, JobNodeState.FAILED, JobNodeState.EVICTED)


class JobQuerySet(models.QuerySet["Job"]):
    def open(self) -> JobQuerySet:
        """Jobs that have not ended."""
        return self.filter(state__in=OPEN_STATES)


class Job(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cell = models.CharField(max_length=63, default="main", editable=False)
    name = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=1024, help_text="gs://bucket/object, gs://bucket/prefix/ or a manifest")
    topology = models.CharField(max_length=8, choices=Topology, default=Topology.MESH)
    destination = models.CharField(max_length=1024, help_text="folder below each node's data directory")
    selector = models.JSONField(default=dict, help_text="which nodes it is for")
    priority = models.IntegerField(default=0, help_text="a higher one goes first")
    gcs_slots = models.PositiveIntegerField(default=4, help_text="reads from the bucket at once")
    upload_slots = models.PositiveIntegerField(
        null=True, blank=True, help_text="uploads at once of a node, if less than its own"
    )
    download_slots = models.PositiveIntegerField(
        null=True, blank=True, help_text="downloads at once of a node, if less than its own"
    )

    pinned = models.BooleanField(default=False, help_text="nodes keep its files whatever else needs room")
    policy = models.CharField(
        max_length=12, choices=Policy, default=Policy.RAREST_FIRST, help_text="which shard a node gets next"
    )
    own_zone = models.BooleanField(
        default=True,
        db_default=True,
        help_text="nodes of a mesh take from their own zone (their label zone) what it has",
    )
    quorum = models.FloatField(default=1.0, help_text="part of the nodes with which it is ready, above 0 and at most 1")
    bucket_budget = models.BigIntegerField(
        null=True, blank=True, help_text="bytes that may be read from the bucket; it fails rather than pass them"
    )

    size = models.BigIntegerField(help_text="bytes of the payload")
    file_count = models.PositiveIntegerField()
    shard_size = models.BigIntegerField()
    shard_count = models.PositiveIntegerField()

    state = models.CharField(max_length=9, choices=JobState, default=JobState.PLANNED)
    error = models.TextField(blank=True)
    bytes_from_gcs = models.BigIntegerField(default=0)
    bytes_from_peers = models.BigIntegerField(default=0)
    bytes_across_zones = models.BigIntegerField(
        default=0, db_default=0, help_text="of those from peers, what came from another zone"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True, help_text="when its quorum of nodes was done")
    stalled_at = models.DateTimeField(null=True, blank=True, help_text="since when no byte has come, while it runs")
    finished_at = models.DateTimeField(null=True, blank=True)
    purged_at = models.DateTimeField(null=True, blank=True, help_text="when its files were ordered off the nodes")
    reopened_after = models.CharField(
        max_length=64, blank=True, editable=False, help_text="where the event stream was when it was last retried"
    )
    request_key = models.CharField(
        max_length=255, blank=True, editable=False, help_text="by which a repeated request is recognised"
    )
    request_digest = models.CharField(max_length=64, blank=True, editable=False)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        permissions = [("cancel_job", "Can cancel a job"), ("purge_job", "Can remove a job's files from the nodes")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state_known"),
            models.CheckConstraint(condition=Q(topology__in=Topology.values), name="job_topology_known"),
            models.CheckConstraint(
                condition=Q(size__gt=0, shard_size__gt=0, shard_count__gt=0, file_count__gt=0), name="job_has_bytes"
            ),
            models.CheckConstraint(condition=Q(gcs_slots__gte=1), name="job_reads_the_bucket"),
            models.CheckConstraint(condition=Q(policy__in=Policy.values), name="job_policy_known"),
            models.CheckConstraint(condition=Q(quorum__gt=0, quorum__lte=1), name="job_quorum_is_a_part"),
            models.CheckConstraint(
                condition=Q(bucket_budget=None) | Q(bucket_budget__gt=0), name="job_bucket_budget_positive"
            ),
            models.CheckConstraint(
                condition=Q(state__in=FINAL_STATES, finished_at__isnull=False)
                | Q(state__in=OPEN_STATES, finished_at__isnull=True),
                name="job_finished_when_it_ended",
            ),
            models.UniqueConstraint(
                fields=["cell", "created_by", "request_key"],
                condition=~Q(request_key=""),
                name="job_request_key_unique",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "id"], name="job_newest_first"),
            models.Index(fields=["state", "-created_at"], name="job_by_state"),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.source} {self.id.hex[:8]}"

    def get_absolute_url(self) -> str:
        return reverse("job", args=[self.id])

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def budget_left(self) -> int | None:
        """Bytes that may still be read from the bucket; None without a budget."""
        return None if self.bucket_budget is None else max(0, self.bucket_budget - self.bytes_from_gcs)

    @property
    def amplification(self) -> float:
        """Bytes out of the bucket, divided by the payload: 1.0 is the least that a cold fleet can do."""
        return self.bytes_from_gcs / self.size

    def move_to(self, state: str, *, error: str = "", at: datetime | None = None) -> None:
        """Changes the state here and in the database, or raises InvalidTransition and changes nothing.

        The change is one conditional UPDATE, so of two processes that end a job at once one wins and the other is
        told. Moving to the state that the job is in does nothing.
        """
        if state == self.state:
            return
        if state not in MOVES[self.state]:
            raise InvalidTransition(f"job {self.id.hex} is {self.state} and cannot become {state}")
        now = at or timezone.now()
        changes: dict[str, object] = {"state": state}
        if error:
            changes["error"] = error
        changes["stalled_at"] = None
        if state in FINAL_STATES:
            changes["finished_at"] = now
        if state == JobState.RUNNING and self.started_at is None:
            changes["started_at"] = now
        self._change(changes, f"cannot become {state}")
        if state in FINAL_STATES:
            self._nodes(UNFINISHED_NODES).update(state=JobNodeState.STOPPED, finished_at=now)

    def reopen(
        self,
        after: str,
        *,
        anew: bool = False,
        again: Iterable[str] = TRIED_AGAIN,
        ready_at: datetime | None = None,
    ) -> None:
        """Takes a job that has ended up again, as if it ran since; raises InvalidTransition and changes nothing.

        after: the position in the scheduler's event stream; what it says up to there of states is of the earlier try.
        anew: also the nodes that are done have to show what they have. again: states of the nodes that get another try.
        ready_at: when it was ready, if it still is.
        """
        if self.is_open:
            raise InvalidTransition(f"job {self.id.hex} is {self.state} and has not ended")
        changes: dict[str, object] = {
            "started_at": timezone.now(),
            "ready_at": ready_at,
            "finished_at": None,
            "purged_at": None,
            "error": "",
            "reopened_after": after,
        }
        purged = self.purged_at is not None
        self._change({"state": JobState.RUNNING, **changes}, "cannot be taken up again")
        rows = self._nodes((*again, JobNodeState.DONE) if anew or purged else again)
        rows.update(state=JobNodeState.ENROLLED, shards_held=0, finished_at=None, error="")

    def _change(self, changes: dict[str, object], otherwise: str) -> None:
        """One conditional UPDATE: of two processes that change the state at once, one is refused."""
        if not Job.objects.filter(pk=self.pk, state=self.state).update(**changes):
            self.refresh_from_db(fields=["state"])
            raise InvalidTransition(f"job {self.id.hex} became {self.state} meanwhile and {otherwise}")
        for name, value in changes.items():
            setattr(self, name, value)

    def _nodes(self, states: Iterable[str]) -> models.QuerySet[JobNode]:
        return self.job_nodes.filter(state__in=states)


class JobDocument(models.Model):
    """The plan as the nodes get it, kept apart from Job since it may have megabytes: Redis is rebuilt from it."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="document")
    text = models.TextField()

    def __str__(self) -> str:
        return f"plan of {self.job_id}"
