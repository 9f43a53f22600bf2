"""How far one node is with one job."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from nodes.models import Node
from transfers.models.job import Job
from transfers.models.states import JobNodeState


class JobNode(models.Model):
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="job_nodes")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="job_nodes")
    state = models.CharField(max_length=9, choices=JobNodeState, default=JobNodeState.ENROLLED)
    shards_held = models.PositiveIntegerField(default=0)
    bytes_from_gcs = models.BigIntegerField(default=0)
    bytes_from_peers = models.BigIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0, help_text="transfers to it that did not succeed")
    error = models.TextField(blank=True)
    enrolled_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "node of a job"
        verbose_name_plural = "nodes of jobs"
        ordering = ["job", "node"]
        constraints = [
            models.UniqueConstraint(fields=["job", "node"], name="job_node_unique"),
            models.CheckConstraint(condition=Q(state__in=JobNodeState.values), name="job_node_state_known"),
        ]
        indexes = [models.Index(fields=["job", "state"], name="job_node_by_state")]

    def __str__(self) -> str:
        return f"{self.node} of {self.job}"
