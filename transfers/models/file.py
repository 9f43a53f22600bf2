"""A file of a job, as it will stand at the destination of every node."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from transfers.models.job import Job
from transfers.models.limits import MAX_CRC32C


class JobFile(models.Model):
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="files")
    index = models.PositiveIntegerField()
    name = models.CharField(max_length=1024, help_text="path below the destination")
    size = models.BigIntegerField()
    crc32c = models.BigIntegerField(null=True, help_text="CRC-32C of the whole file, unsigned")
    offset = models.BigIntegerField(help_text="where it begins in the payload")
    object = models.CharField(max_length=1100, blank=True, help_text="the object it comes from, if it is one")
    generation = models.BigIntegerField(null=True, help_text="of that object, pinned when the job was planned")

    class Meta:
        ordering = ["job", "index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "index"], name="job_file_index_unique"),
            models.UniqueConstraint(fields=["job", "name"], name="job_file_name_unique"),
            models.CheckConstraint(condition=Q(size__gte=0, offset__gte=0), name="job_file_size_not_negative"),
            models.CheckConstraint(
                condition=Q(crc32c=None) | Q(crc32c__gte=0, crc32c__lte=MAX_CRC32C), name="job_file_crc32c_in_range"
            ),
        ]

    def __str__(self) -> str:
        return self.name
