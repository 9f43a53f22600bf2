"""What rates the fleet's nodes have reached lately, by the record of transfers and by the last heartbeats.

A rate is what was reached while something moved, so it is the least that the link and the disk behind it can do. The
network and the disk of a node cannot be told apart here: bytes count when they are written.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import redis
from django.utils import timezone

from transfers.links import Links
from transfers.models import Transfer, TransferOutcome

LOOK_BACK = timedelta(days=7)
MOST_TRANSFERS = 20_000  # the latest; about 0.1 s to read
LEAST_BYTES = 256 * 1024  # a smaller transfer tells of its latency alone

Spans = dict[tuple[str, object], list[tuple[float, float, int]]]  # (node, job) -> begun, ended, bytes


@dataclass(frozen=True)
class Measured:
    """Bytes a second: of each node the best of its recent jobs, in and out. reader: of one read from the bucket."""

    down: Mapping[str, float] = field(default_factory=dict)
    up: Mapping[str, float] = field(default_factory=dict)
    reader: float | None = None
    transfers: int = 0


def measure(links: Links) -> Measured:
    """The fleet's rates; from the record alone where Redis cannot be reached."""
    down: Spans = defaultdict(list)
    up: Spans = defaultdict(list)
    reads: list[float] = []
    rows = list(_recent(links.cell))
    for job, node, source, amount, milliseconds, ended_at in rows:
        ended = ended_at.timestamp()
        span = (ended - milliseconds / 1000, ended, amount)
        down[node, job].append(span)
        if source is None:
            reads.append(amount / milliseconds * 1000)
        else:
            up[source, job].append(span)
    now_down, now_up = _now(links)
    return Measured(
        down=_best(_rates(down), now_down),
        up=_best(_rates(up), now_up),
        reader=statistics.median(reads) if reads else None,
        transfers=len(rows),
    )


def _recent(cell: str) -> Iterable[tuple[object, str, str | None, int, int, datetime]]:
    rows = Transfer.objects.filter(
        node__cell=cell,
        outcome=TransferOutcome.DONE,
        ended_at__gte=timezone.now() - LOOK_BACK,
        bytes__gte=LEAST_BYTES,
        milliseconds__gt=0,
    )
    fields = ("job_id", "node__name", "source__name", "bytes", "milliseconds", "ended_at")
    return rows.order_by("-ended_at").values_list(*fields)[:MOST_TRANSFERS]


def _rates(spans: Spans) -> Iterable[tuple[str, float]]:
    for (node, _), found in spans.items():
        busy = busy_seconds([(begun, ended) for begun, ended, _ in found])
        yield node, sum(amount for *_, amount in found) / busy


def busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of the spans (begun, ended) lasted."""
    total, reached = 0.0, float("-inf")
    for begun, ended in sorted(spans):
        total += max(0.0, ended - max(begun, reached))
        reached = max(reached, ended)
    return total


def _now(links: Links) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    try:
        views = links.scheduler.nodes()
    except redis.RedisError:  # the record is what there is then
        return [], []
    return (
        [(view.name, view.rate_down + view.rate_gcs) for view in views],
        [(view.name, view.rate_up) for view in views],
    )


def _best(*measurements: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for rates in measurements:
        for node, rate in rates:
            if rate > found.get(node, 0.0):
                found[node] = rate
    return found
