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
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="transfers")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="downloads", help_text="who received")
    source = models.ForeignKey(
        Node, on_delete=models.CASCADE, null=True, blank=True, related_name="uploads", help_text="empty: the bucket"
    )
    shard = models.PositiveIntegerField()
    outcome = models.CharField(max_length=7, choices=TransferOutcome)
    why = models.CharField(max_length=200, blank=True)
    bytes = models.BigIntegerField(default=0)
    milliseconds = models.BigIntegerField(default=0)
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ["-ended_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(outcome__in=TransferOutcome.values), name="transfer_outcome_known")
        ]
        indexes = [
            models.Index(fields=["job", "-ended_at"], name="transfer_of_job"),
            models.Index(fields=["ended_at"], name="transfer_by_age"),
            models.Index(fields=["job", "id"], condition=~Q(outcome="done"), name="transfer_gone_wrong"),
        ]

    def __str__(self) -> str:
        return f"shard {self.shard} to node {self.node_id}"
