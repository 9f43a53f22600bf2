"""A job at one moment."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import redis

from transfers.links import Links
from transfers.live.limits import NOTHING, Limit, judge
from transfers.live.readings import Readings
from transfers.live.reasons import SETTLED, explained
from transfers.models import FINAL_STATES, Job, JobNode, JobNodeState, JobState, Transfer, TransferOutcome
from transfers.scheduler.types import GCS, JobView

if TYPE_CHECKING:
    from transfers.scheduler import Scheduler

BITMAPS_A_READ = 1000  # the rest follow with the next reads: one picture stays within some tens of milliseconds
LATEST_FAULTS = 1000
RATE_WEIGHT = 0.4  # of the newest figure in a smoothed rate


@dataclass(frozen=True)
class NodePicture:
    """state: a word of the scheduler's or the record's. rate: bytes a second coming in. why: it waits, failed, or is
    slower than the others."""

    name: str
    state: str
    held: int
    position: int | None = None
    why: str = ""
    rate: float = 0.0


@dataclass(frozen=True)
class TransferPicture:
    shard: int
    node: str
    source: str
    bytes: int
    milliseconds: int


@dataclass(frozen=True)
class Picture:
    """bits: node -> bitmap of the shards it holds (bit 0 first in each byte's high end); a node is left out while, or
    since, nobody knows which it holds. at: monotonic seconds. finished: seconds since 1970, None while the record has
    the job open."""

    job: str
    name: str
    state: str
    error: str
    topology: str
    size: int
    shard_count: int
    shard_size: int
    at: float
    elapsed: float
    bytes_gcs: int
    bytes_peer: int
    missing: int
    nodes: Mapping[str, NodePicture] = field(default_factory=dict)
    bits: Mapping[str, bytes] = field(default_factory=dict)
    transfers: tuple[TransferPicture, ...] = ()
    finished: float | None = None
    damaged: tuple[tuple[str, int], ...] = ()  # node, shard: what arrived wrong and is, or was, fetched again
    limit: Limit = NOTHING
    source_seen: bool = True  # False while the scheduler cannot be reached and the record is shown instead

    @property
    def ended(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def unmapped(self) -> int:
        """Nodes that hold shards, and nobody can say which."""
        return sum(1 for name, node in self.nodes.items() if node.held and name not in self.bits)

    @property
    def shards_held(self) -> int:
        return sum(node.held for node in self.nodes.values())

    @property
    def part(self) -> float:
        """How much of all that is to arrive on all nodes is there, from 0 to 1."""
        wanted = len(self.nodes) * self.shard_count
        return self.shards_held / wanted if wanted else 0.0

    @property
    def done(self) -> int:
        return sum(node.state == "done" for node in self.nodes.values())

    @property
    def moved_gcs(self) -> int:
        """Bytes that came out of the bucket, with those of transfers that are under way."""
        return self.bytes_gcs + sum(each.bytes for each in self.transfers if each.source == GCS)

    @property
    def moved_peer(self) -> int:
        return self.bytes_peer + sum(each.bytes for each in self.transfers if each.source != GCS)

    def rate_since(self, old: Picture | None) -> float:
        """Bytes a second, over all nodes, between an older picture and this one."""
        return sum(self.rates_since(old))

    def rates_since(self, old: Picture | None) -> tuple[float, float]:
        """The same, out of the bucket and between nodes."""
        if old is None or self.at <= old.at:
            return 0.0, 0.0
        seconds = self.at - old.at
        return (
            max(0, self.moved_gcs - old.moved_gcs) / seconds,
            max(0, self.moved_peer - old.moved_peer) / seconds,
        )


def read_picture(
    links: Links,
    job_id: uuid.UUID,
    old: Picture | None = None,
    *,
    with_bits: bool = True,
    readings: Readings | None = None,
) -> Picture:
    """The job now. old: the last picture, whose bitmaps are kept for nodes that hold as many shards as before.

    readings: of this moment, where several pictures are made of it.

    Raises Job.DoesNotExist. Cost: three reads of the scheduler, and one for each node that moved on.
    """
    job = Job.objects.get(pk=job_id)
    try:
        view = links.scheduler.job(job.id.hex)
        if view is not None:
            return _from_scheduler(readings or Readings(links.scheduler), job, view, old, with_bits)
        return _from_record(job, with_bits, source_seen=job.state != JobState.PLANNED)
    except redis.RedisError:
        return _from_record(job, with_bits, source_seen=False)


def _from_scheduler(readings: Readings, job: Job, view: JobView, old: Picture | None, with_bits: bool) -> Picture:
    scheduler, fleet = readings.scheduler, readings.nodes
    nodes: dict[str, NodePicture] = {}
    rows = scheduler.job_nodes(job.id.hex)
    faults = _faults(job) if any(row.state == "failed" for row in rows) else {}
    for row in rows:
        facts = fleet.get(row.node)
        gone = facts is None or facts.state in ("dead", "left")
        state = "dead" if gone and row.state not in ("done", "failed") else row.state
        rate = facts.rate_down + facts.rate_gcs if facts is not None and state == "moving" else 0.0
        why = row.why or faults.get(row.node, "")
        nodes[row.node] = NodePicture(row.node, state, row.held, row.position, why, rate)
    leases = readings.leases.get(job.id.hex, [])
    now = int(time.time() * 1000)
    transfers = tuple(
        TransferPicture(lease.shard, lease.node, lease.source, lease.bytes, max(0, now - lease.started))
        for lease in leases
    )
    state = shown_state(job, view)
    picture = replace(
        _base(job, state),
        error=job.error or view.reason,
        bytes_gcs=max(view.bytes_gcs, job.bytes_from_gcs),
        bytes_peer=max(view.bytes_peer, job.bytes_from_peers),
        missing=view.missing,
        nodes=_at_the_end(explained(nodes, view, leases, fleet), state),
        bits=_bits(scheduler, job, nodes, old) if with_bits else {},
        transfers=transfers,
        damaged=_damaged(job) if with_bits else (),
    )
    rate = picture.rate_since(old)
    if old is not None and old.limit.rate:
        rate = old.limit.rate + RATE_WEIGHT * (rate - old.limit.rate)
    return replace(picture, limit=judge(view, state, nodes, leases, fleet, rate, old.limit.node if old else 0.0))


def _damaged(job: Job) -> tuple[tuple[str, int], ...]:
    """Read by the index of what went wrong, which is short."""
    rows = Transfer.objects.filter(job=job).exclude(outcome=TransferOutcome.DONE).order_by("-id")
    wrong = rows.values_list("node__name", "shard", "outcome")[:LATEST_FAULTS]
    return tuple((node, shard) for node, shard, outcome in wrong if outcome == TransferOutcome.CORRUPT)


def shown_state(job: Job, view: JobView | None) -> str:
    """The scheduler knows the end some moments before the record does; the record alone knows of a purge or a pause."""
    return view.state if view is not None and job.is_open and job.state != JobState.PLANNED else job.state


def elapsed(job: Job) -> float:
    """Seconds since the job began, or that it took."""
    ended = job.finished_at.timestamp() if job.finished_at else time.time()
    return max(0.0, ended - (job.started_at or job.created_at).timestamp())


def _faults(job: Job) -> dict[str, str]:
    """Why nodes failed; the record keeps that, the scheduler does not."""
    failed = JobNode.objects.filter(job=job, state=JobNodeState.FAILED)
    return dict(failed.values_list("node__name", "error"))


def _bits(scheduler: Scheduler, job: Job, nodes: Mapping[str, NodePicture], old: Picture | None) -> dict[str, bytes]:
    before = old.nodes if old else {}
    have = dict(old.bits) if old else {}
    moved = [
        name
        for name, node in nodes.items()
        if name not in have or node.held != before.get(name, node).held or name not in before
    ]
    late = [name for name in nodes if name in have and name not in moved and _ones(have[name]) != nodes[name].held]
    have |= scheduler.held_by(job.id.hex, [*late, *moved][:BITMAPS_A_READ])
    return {name: bits for name, bits in have.items() if name in nodes}


def _ones(bits: bytes) -> int:
    return int.from_bytes(bits, "big").bit_count()


def _from_record(job: Job, with_bits: bool, *, source_seen: bool) -> Picture:
    nodes: dict[str, NodePicture] = {}
    bits: dict[str, bytes] = {}
    full = full_bitmap(job.shard_count)
    for row in JobNode.objects.filter(job=job).select_related("node").order_by("id"):
        nodes[row.node.name] = NodePicture(row.node.name, row.state, row.shards_held, why=row.error)
        if with_bits and (row.state == JobNodeState.DONE or not row.shards_held):
            bits[row.node.name] = full if row.state == JobNodeState.DONE else b""
    return replace(_base(job, job.state), nodes=_at_the_end(nodes, job.state), bits=bits, source_seen=source_seen)


def _at_the_end(nodes: dict[str, NodePicture], state: str) -> dict[str, NodePicture]:
    """Nodes of a job that has ended neither move nor wait."""
    if state not in FINAL_STATES:
        return nodes
    return {
        name: node if node.state in SETTLED else replace(node, state="stopped", why="", rate=0.0)
        for name, node in nodes.items()
    }


def _base(job: Job, state: str) -> Picture:
    return Picture(
        job=job.id.hex,
        name=str(job),
        state=state,
        error=job.error,
        topology=job.topology,
        size=job.size,
        shard_count=job.shard_count,
        shard_size=job.shard_size,
        at=time.monotonic(),
        elapsed=elapsed(job),
        bytes_gcs=job.bytes_from_gcs,
        bytes_peer=job.bytes_from_peers,
        missing=0,
        finished=job.finished_at.timestamp() if job.finished_at else None,
    )


def full_bitmap(count: int) -> bytes:
    """`count` ones, the first in the highest bit of the first byte."""
    whole, rest = divmod(count, 8)
    return b"\xff" * whole + (bytes([0xFF << (8 - rest) & 0xFF]) if rest else b"")


def summary(picture: Picture, old: Picture | None) -> dict[str, Any]:
    """The figures of the job as a whole, as pages get them."""
    gcs, peers = picture.rates_since(old)
    return {
        "state": picture.state,
        "error": picture.error,
        "elapsed": round(picture.elapsed, 1),
        "bytes_gcs": picture.bytes_gcs,
        "bytes_peer": picture.bytes_peer,
        "rate": round(gcs + peers),
        "rate_gcs": round(gcs),
        "rate_peer": round(peers),
        "limit": picture.limit.to_json(),
        "missing": picture.missing,
        "held": picture.shards_held,
        "done": picture.done,
        "unmapped": picture.unmapped,
        "stale": not picture.source_seen,
    }
