"""Samples of how fast jobs move, taken by the coordinator while jobs are open, whether or not somebody looks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from transfers.links import Links
from transfers.models import Job, RateSample
from transfers.scheduler.types import GCS, JobView, LeaseView

KEPT = timedelta(days=7)
EVERY_SECONDS = 2.0
SWEEP_SECONDS = 3600.0

Span = tuple[float, float, tuple[int, ...]]  # when it ended (seconds since 1970), how many it lasted, bytes by column


@dataclass(frozen=True)
class Moved:
    """Bytes of a job that have arrived, with those of transfers under way."""

    gcs: int = 0
    peers: int = 0

    def since(self, old: Moved) -> Moved:
        """Never negative: a transfer that failed takes its bytes back."""
        return Moved(max(0, self.gcs - old.gcs), max(0, self.peers - old.peers))

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.gcs + other.gcs, self.peers + other.peers)

    def __bool__(self) -> bool:
        return bool(self.gcs or self.peers)


def moved(view: JobView, leases: Iterable[LeaseView]) -> Moved:
    """leases: of any job; those of others are left out."""
    total = Moved(view.bytes_gcs, view.bytes_peer)
    for lease in leases:
        if lease.job == view.job:
            total += Moved(lease.bytes, 0) if lease.source == GCS else Moved(0, lease.bytes)
    return total


class Sampler:
    """A part of the coordinator, see coordinator.loop.Part. It begins anew where another one left off: a gap of
    seconds in a chart is all that a change of leader costs."""

    name = "sampler"

    def __init__(self, links: Links) -> None:
        self.links = links
        self.last: dict[str, Moved] = {}
        self.moving: set[str] = set()
        self.at = time.monotonic()
        self.swept = 0.0

    def step(self) -> float:
        now = time.monotonic()
        elapsed = timedelta(seconds=now - self.at)
        self.at = now
        open_jobs = {job.hex for job in Job.objects.open().filter(cell=self.links.cell).values_list("pk", flat=True)}
        # Jobs that ended since the last step have a last sample.
        self._write(self._read(open_jobs | self.last.keys()), elapsed)
        self.last = {job: total for job, total in self.last.items() if job in open_jobs}
        self.moving &= open_jobs
        if now - self.swept > SWEEP_SECONDS:
            RateSample.objects.filter(cell=self.links.cell, at__lt=timezone.now() - KEPT).delete()
            self.swept = now
        return EVERY_SECONDS

    def _read(self, jobs: set[str]) -> dict[str, Moved]:
        """What moved since the last step, by job."""
        if not jobs:
            return {}
        leases = self.links.scheduler.leases()
        found: dict[str, Moved] = {}
        for job in jobs:
            view = self.links.scheduler.job(job)
            if view is None:
                continue
            total = moved(view, leases)
            if job in self.last:
                found[job] = total.since(self.last[job])
            self.last[job] = total
        return found

    def _write(self, found: dict[str, Moved], elapsed: timedelta) -> None:
        """A job that stands still is written once: charts take what has no sample for 0."""
        rows = [(job, delta) for job, delta in found.items() if delta or job in self.moving]
        self.moving = {job for job, delta in found.items() if delta}
        if not rows:
            return
        at, milliseconds = timezone.now(), max(1, round(elapsed.total_seconds() * 1000))
        whole = sum((delta for _, delta in rows), Moved())
        known = set(Job.objects.filter(pk__in=[uuid.UUID(hex=job) for job, _ in rows]).values_list("pk", flat=True))
        RateSample.objects.bulk_create(
            RateSample(
                cell=self.links.cell,
                job_id=job,
                at=at,
                milliseconds=milliseconds,
                bytes_from_gcs=delta.gcs,
                bytes_from_peers=delta.peers,
            )
            for job, delta in [(None, whole), *((uuid.UUID(hex=job), delta) for job, delta in rows)]
            if job is None or job in known
        )


def spans(samples: QuerySet[RateSample]) -> Iterator[Span]:
    """Of samples: bytes from the bucket, and from peers."""
    rows = samples.values_list("at", "milliseconds", "bytes_from_gcs", "bytes_from_peers")
    for at, milliseconds, gcs, peers in rows.iterator():
        yield at.timestamp(), milliseconds / 1000, (gcs, peers)


def series(found: Iterable[Span], begin: datetime, end: datetime, columns: int, most: int = 240) -> list[list[float]]:
    """Rates in equal steps, for a chart: times (seconds since 1970), then bytes a second for each of the columns.

    most: points. What moved over a longer time than a step is spread over it.
    """
    length = max(EVERY_SECONDS, (end - begin).total_seconds())
    step = max(EVERY_SECONDS, length / most)
    count = max(1, round(length / step))
    first = begin.timestamp()
    rates = [[0.0] * count for _ in range(columns)]
    for ended, seconds, amounts in found:
        until = ended - first
        since = until - seconds
        for place in range(max(0, int(since // step)), min(count - 1, int(until // step)) + 1):
            overlap = max(0.0, min(until, (place + 1) * step) - max(since, place * step))
            for column, amount in zip(rates, amounts, strict=True):
                column[place] += amount * overlap / seconds / step
    times = [round(first + (place + 1) * step, 1) for place in range(count)]
    return [times, *([float(round(rate)) for rate in column] for column in rates)]
