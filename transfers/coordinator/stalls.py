"""Notices jobs that run and get nowhere: no byte came for a while, whatever the reason."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from transfers.links import Links
from transfers.models import Job, JobState
from transfers.scheduler.types import JobView

logger = logging.getLogger(__name__)

ROUND_SECONDS = 2.0
DEFAULT_SECONDS = 120.0


@dataclass(frozen=True)
class _Mark:
    """What has come so far: bytes of finished and of running transfers, shards held. at: when that changed last."""

    progress: tuple[int, ...]
    at: float


class Watcher:
    """after: seconds without a byte."""

    name = "watcher"

    def __init__(
        self, links: Links, after: float = DEFAULT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.links = links
        self.after = after
        self.clock = clock
        self._marks: dict[uuid.UUID, _Mark] = {}

    def step(self) -> float:
        jobs = Job.objects.filter(cell=self.links.cell, state=JobState.RUNNING).only("id", "stalled_at")
        moving: dict[str, int] = {}
        for lease in self.links.scheduler.leases():
            moving[lease.job] = moving.get(lease.job, 0) + lease.bytes
        marks: dict[uuid.UUID, _Mark] = {}
        for job in jobs:
            view = self.links.scheduler.job(job.id.hex)
            if view is not None and view.state == "running":
                marks[job.id] = self._look(job, view, moving.get(job.id.hex, 0))
        self._marks = marks
        return ROUND_SECONDS

    def _look(self, job: Job, view: JobView, moving: int) -> _Mark:
        progress = (view.bytes_gcs, view.bytes_peer, view.shards_held, view.nodes_done, moving)
        old, now = self._marks.get(job.id), self.clock()
        if old is None:  # since when nothing came is not known
            return _Mark(progress, now)
        if old.progress != progress:
            if job.stalled_at is not None:
                Job.objects.filter(pk=job.pk).update(stalled_at=None)
                logger.info("goes on job=%s", job.id.hex)
            return _Mark(progress, now)
        if now - old.at >= self.after and job.stalled_at is None:
            since = timezone.now() - timedelta(seconds=now - old.at)
            Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(stalled_at=since)
            logger.warning("stalled job=%s seconds=%.0f", job.id.hex, now - old.at)
        return old
