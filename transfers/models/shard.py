"""A shard of a job, with the digest that its first reader found and that every other node checks against."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from transfers.models.job import Job
from transfers.models.limits import MAX_CRC32C


class Shard(models.Model):
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="shards")
    index = models.PositiveIntegerField()
    offset = models.BigIntegerField(help_text="where it begins in the payload")
    size = models.BigIntegerField()
    crc32c = models.BigIntegerField(null=True, help_text="null until a node has read it from the bucket")

    class Meta:
        ordering = ["job", "index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "index"], name="shard_index_unique"),
            models.CheckConstraint(condition=Q(size__gt=0, offset__gte=0), name="shard_has_bytes"),
            models.CheckConstraint(
                condition=Q(crc32c=None) | Q(crc32c__gte=0, crc32c__lte=MAX_CRC32C), name="shard_crc32c_in_range"
            ),
        ]

    def __str__(self) -> str:
        return f"shard {self.index}"
