"""What happened to a job besides its transfers, in the order in which the recorder wrote it."""

from __future__ import annotations

from django.db import models

from nodes.models import Node
from transfers.models.job import Job


class JobEventKind(models.TextChoices):
    STATE = "job_state"
    ENROLLED = "enrolled"
    READY = "job_ready"  # as many nodes are done as its quorum asks for
    NODE_DONE = "node_done"
    NODE_FAILED = "node_failed"
    DISPUTED = "disputed"  # a whole file's checksum was wrong: its shards are read again
    MOVED = "moved"  # a slow node went to the end of a pipeline


class JobEvent(models.Model):
    """`id` is a cursor: only the recorder writes these rows, one batch after the other, so no lower one comes later."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=11, choices=JobEventKind)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, null=True, blank=True, related_name="job_events")
    state = models.CharField(max_length=9, blank=True, help_text="of the job, when that is what changed")
    why = models.TextField(blank=True)

    class Meta:
        verbose_name = "event of a job"
        verbose_name_plural = "events of jobs"
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=JobEventKind.values), name="job_event_kind_known")
        ]
        indexes = [models.Index(fields=["job", "id"], name="job_event_since")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.job_id}"
