"""History: every shard that moved, or failed to, between which two ends and how fast."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from nodes.models import Node
from transfers.models.job import Job


class TransferOutcome(models.TextChoices):
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"  # no progress until its lease ran out
    CORRUPT = "corrupt"


class Transfer(models.Model):
    # The keys' own indexes are left out: those below begin with them.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="transfers", db_index=False)
    node = models.ForeignKey(
        Node, on_delete=models.CASCADE, related_name="downloads", db_index=False, help_text="who received"
    )
    source = models.ForeignKey(
        Node,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="uploads",
        db_index=False,
        help_text="empty: the bucket",
    )
    shard = models.PositiveIntegerField()
    outcome = models.CharField(max_length=7, choices=TransferOutcome)
    why = models.CharField(max_length=200, blank=True)
    bytes = models.BigIntegerField(default=0)
    assigned_at = models.DateTimeField(null=True, blank=True, help_text="when its lease was given")
    first_byte_ms = models.BigIntegerField(null=True, blank=True, help_text="from its start to its first byte")
    milliseconds = models.BigIntegerField(default=0, help_text="from its start to its end")
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ["-ended_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(outcome__in=TransferOutcome.values), name="transfer_outcome_known")
        ]
        # Read backwards, newest first. A filter is a range of one of them, however long the history is.
        indexes = [
            models.Index(fields=["ended_at", "id"], name="transfer_by_age"),
            models.Index(fields=["job", "ended_at", "id"], name="transfer_of_job"),
            models.Index(fields=["job", "shard"], name="transfer_of_shard"),
            models.Index(fields=["node", "ended_at", "id"], name="transfer_to_node"),
            models.Index(fields=["source", "ended_at", "id"], name="transfer_from_node"),
            models.Index(fields=["ended_at", "id"], condition=Q(source=None), name="transfer_from_bucket"),
            models.Index(fields=["outcome", "ended_at", "id"], name="transfer_by_outcome"),
            models.Index(fields=["job", "id"], condition=~Q(outcome="done"), name="transfer_gone_wrong"),
        ]

    def __str__(self) -> str:
        return f"shard {self.shard} to node {self.node_id}"
