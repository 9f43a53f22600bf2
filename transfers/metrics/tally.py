"""Counts what a batch of events says, once it is in the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from transfers.metrics import counts
from transfers.models import FINAL_STATES, Job, JobNodeState, JobState
from transfers.scheduler.types import GCS, Event

ENDS = {"done", "failed", "expired", "corrupt"}


def tally(events: Sequence[Event], link_rate: int | None, *, across_zones: int = 0) -> None:
    """link_rate: of a node's network link in bit/s, by which efficiency is measured; None leaves that out.
    across_zones: bytes between nodes of different zones; events name nodes, and only the record knows their zones.

    Cost: some microseconds an event, and two queries for each job that is complete.
    """
    counts.EVENTS.inc(len(events))
    counts.ACROSS_ZONES.inc(across_zones)
    kinds: Counter[tuple[str, str]] = Counter()
    moved: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for event in events:
        if event.kind in ENDS:
            source = "peer" if event.fields.get("source", GCS) != GCS else "bucket"
            kinds[source, event.kind] += 1
            moved[source] += int(event.fields.get("bytes") or 0)
            if event.kind != "done":
                reasons[counts.reason_of(event.kind, event.fields.get("why", ""))] += 1
        elif event.kind == "disputed":
            counts.VERIFICATION_FAILURES.labels("file").inc()
        elif event.kind == "node_dead":
            counts.NODES_DIED.inc()
        elif event.kind == "job_state" and event.fields.get("state") in FINAL_STATES:
            _job_ended(event.fields["job"], event.fields["state"], link_rate)
    for (source, outcome), number in kinds.items():
        counts.TRANSFERS.labels(source, outcome).inc(number)
        if outcome == "expired":
            counts.EXPIRED.inc(number)
        if outcome == "corrupt":
            counts.VERIFICATION_FAILURES.labels("shard").inc(number)
    for source, number in moved.items():
        counts.BYTES.labels(source).inc(number)
    for reason, number in reasons.items():
        counts.FAILURES.labels(reason).inc(number)


def _job_ended(job_id: str, state: str, link_rate: int | None) -> None:
    counts.JOBS_ENDED.labels(state).inc()
    job = Job.objects.filter(id=UUID(hex=job_id), state=JobState.COMPLETE).first()
    if state != JobState.COMPLETE or job is None or job.started_at is None:
        return
    counts.AMPLIFICATION.observe(job.amplification)
    done = job.job_nodes.filter(state=JobNodeState.DONE, finished_at__gt=job.started_at).order_by("finished_at")
    times = [(end - job.started_at).total_seconds() for end in done.values_list("finished_at", flat=True) if end]
    if not times:
        return
    counts.DURATION.observe(times[-1])
    if link_rate:
        least = job.size * 8 / link_rate
        counts.EFFICIENCY.labels("median").observe(least / times[len(times) // 2])
        counts.EFFICIENCY.labels("last").observe(least / times[-1])
