"""How fast bytes moved, over time: what charts show."""

from __future__ import annotations

from django.db import models

from transfers.models.job import Job


class RateSample(models.Model):
    """Bytes that arrived in the `milliseconds` before `at`; of one job, or of the whole cell where `job` is empty."""

    cell = models.CharField(max_length=63, default="main", editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, null=True, blank=True, related_name="rate_samples")
    at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    bytes_from_gcs = models.BigIntegerField(default=0)
    bytes_from_peers = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["at"]
        indexes = [
            models.Index(fields=["job", "at"], name="rate_sample_of_job"),
            models.Index(fields=["cell", "at"], condition=models.Q(job=None), name="rate_sample_of_cell"),
        ]

    def __str__(self) -> str:
        return f"{self.bytes_from_gcs + self.bytes_from_peers} bytes in {self.milliseconds} ms"
