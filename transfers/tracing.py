"""One shard's life: from the record what has ended, from the scheduler what is under way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
from django.db.models import Q

from transfers.links import Links
from transfers.models import Job, Shard, Transfer

logger = logging.getLogger(__name__)

MOST = 1000  # transfers of one shard; of a larger fleet one asks for a node
BUCKET = "bucket"


@dataclass(frozen=True)
class Step:
    """what: assigned, started, first byte, verified, failed, expired, corrupt, or moving for what is not over.

    bytes: moved by then, where that is known. why: of what did not succeed.
    """

    at: datetime
    what: str
    node: str
    source: str
    bytes: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Trace:
    """copies: live ones by the scheduler, None when it does not have the job. served: node -> how often it gave it.

    left_out: transfers that are not shown.
    """

    job: Job
    shard: Shard
    steps: list[Step]
    served: dict[str, int]
    copies: int | None
    left_out: int


def trace(job: Job, index: int, links: Links, node: str = "") -> Trace:
    """The shard's life, oldest first; with `node` only what that node received or gave. Raises Shard.DoesNotExist.

    Cost: two queries, and when Redis answers one look at the leases of all jobs.
    """
    shard = Shard.objects.get(job=job, index=index)
    rows = Transfer.objects.filter(job=job, shard=index).select_related("node", "source").order_by("ended_at", "id")
    if node:
        rows = rows.filter(Q(node__name=node) | Q(source__name=node))
    found = list(rows[: MOST + 1])
    left_out = rows.count() - MOST if len(found) > MOST else 0
    steps = [step for row in found[:MOST] for step in _steps(row)]
    served: dict[str, int] = {}
    for row in found[:MOST]:
        if row.outcome == "done":
            giver = row.source.name if row.source else BUCKET
            served[giver] = served.get(giver, 0) + 1
    moving, copies = _now(job, index, links, node)
    return Trace(job, shard, sorted([*steps, *moving], key=lambda step: step.at), served, copies, left_out)


def _steps(row: Transfer) -> Iterator[Step]:
    """Of a transfer that has ended. Its node told how long it took, so its start is that much before its end."""
    node, source = row.node.name, row.source.name if row.source else BUCKET
    started = row.ended_at - timedelta(milliseconds=row.milliseconds)
    if row.assigned_at is not None:
        yield Step(row.assigned_at, "assigned", node, source)
    yield Step(started, "started", node, source)
    if row.first_byte_ms is not None:
        yield Step(started + timedelta(milliseconds=row.first_byte_ms), "first byte", node, source)
    what = "verified" if row.outcome == "done" else row.outcome
    yield Step(row.ended_at, what, node, source, row.bytes, row.why)


def _now(job: Job, index: int, links: Links, node: str) -> tuple[list[Step], int | None]:
    """Steps of transfers under way, and live copies; nothing of either while Redis cannot be reached."""
    steps: list[Step] = []
    try:
        leases = links.scheduler.leases(job.id.hex)
        copies = links.scheduler.rarity(job.id.hex)
        seconds, micros = links.redis.time()
    except redis.RedisError as error:
        logger.warning("traced by the record alone job=%s shard=%d reason=%s", job.id.hex, index, error)
        return [], None
    now = datetime.fromtimestamp(seconds + micros / 1e6, UTC)
    for lease in leases:
        if lease.shard == index and node in ("", lease.node, lease.source):
            source = lease.source or BUCKET
            steps.append(Step(datetime.fromtimestamp(lease.started / 1000, UTC), "assigned", lease.node, source))
            if not lease.follows:
                steps.append(Step(now, "moving", lease.node, source, lease.bytes))
    return steps, copies[index] if index < len(copies) else None
