"""What must hold at every moment, whatever happened: checked on the scheduler's own views against the truth.

The truth is what a caller knows for certain: which shards the bytes of a live node really contain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from transfers.scheduler import Scheduler
from transfers.scheduler.types import GCS, LeaseView, NodeView

GONE = ("dead", "left")


class InvariantBroken(AssertionError):
    """The scheduler's state contradicts itself or the truth. The message says each contradiction on a line."""


def bits(bitmap: bytes) -> int:
    """A bitmap as Redis keeps it (bit 0 is the first byte's most significant) as an integer whose bit i is bit i."""
    return int(f"{int.from_bytes(bitmap, 'big'):0{len(bitmap) * 8}b}"[::-1], 2) if bitmap else 0


def count_columns(rows: Iterable[int], width: int) -> list[int]:
    """How many of `rows` have bit i set, for each i below width. O(rows * log(rows)) operations on whole rows."""
    planes: list[int] = []
    for row in rows:
        carry = row
        for i, plane in enumerate(planes):
            planes[i], carry = plane ^ carry, plane & carry
        if carry:
            planes.append(carry)
    return [sum((plane >> i & 1) << level for level, plane in enumerate(planes)) for i in range(width)]


def slots(nodes: Sequence[NodeView], leases: Sequence[LeaseView]) -> list[str]:
    """Every slot taken has its lease, every lease its slots unless it is nearly over or follows, and none too many."""
    leases = [lease for lease in leases if not lease.ending and not lease.follows]
    up = Counter(lease.source for lease in leases if lease.source != GCS)
    down = Counter(lease.node for lease in leases if lease.source != GCS)
    gcs = Counter(lease.node for lease in leases if lease.source == GCS)
    wrong = []
    for node in nodes:
        for what, used, held, limit in (
            ("upload", node.uploads, up[node.name], node.upload_slots),
            ("download", node.downloads, down[node.name], node.download_slots),
            ("bucket", node.gcs_reads, gcs[node.name], node.gcs_slots),
        ):
            if used != held:
                wrong.append(f"{node.name} counts {used} {what} slots taken, its leases are {held}")
            if used > limit or used < 0:
                wrong.append(f"{node.name} has {used} of {limit} {what} slots taken")
    return wrong


def lonely_leases(nodes: Sequence[NodeView], leases: Sequence[LeaseView]) -> list[str]:
    """No lease of or from a node that is gone, and never two of one node for one shard."""
    gone = {node.name for node in nodes if node.state in GONE}
    wrong = [
        f"lease {x.lease} of shard {x.shard} from {x.source or 'the bucket'} to {x.node}: one of them is gone"
        for x in leases
        if x.node in gone or x.source in gone
    ]
    twice = Counter((x.job, x.node, x.shard) for x in leases)
    wrong += [f"{node} has {n} leases for shard {shard}" for (_, node, shard), n in twice.items() if n > 1]
    return wrong


def bucket_reads(scheduler: Scheduler, job: str, leases: Sequence[LeaseView]) -> list[str]:
    view = scheduler.job(job)
    if view is None:
        return []
    reading = sum(1 for lease in leases if lease.job == job and lease.source == GCS and not lease.ending)
    wrong = []
    if view.gcs_used != reading:
        wrong.append(f"the job counts {view.gcs_used} reads from the bucket, its leases are {reading}")
    if reading > view.gcs_slots:
        wrong.append(f"{reading} reads from the bucket, {view.gcs_slots} are allowed")
    if view.state in ("complete", "failed", "cancelled") and any(lease.job == job for lease in leases):
        wrong.append(f"the job is {view.state} and has leases")
    return wrong


def holdings(scheduler: Scheduler, job: str, truth: Mapping[str, int], nodes: Sequence[NodeView]) -> list[str]:
    """No shard counted that is not held, and the copies of each shard are as many as their holders.

    truth: node -> bitmap of the shards that are on its disk, for the nodes about which that is known.
    """
    view = scheduler.job(job)
    if view is None or view.state in ("failed", "cancelled"):
        return []
    wrong = []
    rows = []
    gone = {node.name for node in nodes if node.state in GONE or node.barred}
    for one in scheduler.job_nodes(job):
        held = bits(scheduler.held(job, one.node))
        if one.node not in gone:
            rows.append(held)
        if held.bit_count() != one.held:
            wrong.append(f"{one.node} counts {one.held} shards, its bitmap has {held.bit_count()}")
        if one.node in truth and held & ~truth[one.node]:
            extra = held & ~truth[one.node]
            wrong.append(
                f"{one.node} is said to hold {extra.bit_count()} shards that it lacks, as shard "
                f"{(extra & -extra).bit_length() - 1}"
            )
    counted, expected = scheduler.rarity(job), count_columns(rows, view.shard_count)
    for shard, (have, want) in enumerate(zip(counted, expected, strict=True)):
        if have != want:
            wrong.append(f"shard {shard} counts {have} copies, {want} nodes hold it")
            break
    return wrong


def zones(scheduler: Scheduler, job: str, nodes: Sequence[NodeView], leases: Sequence[LeaseView]) -> list[str]:
    """What a zone is said to have or to get is held there by somebody who may give it, or on its way there."""
    zone_of = {node.name: node.labels.get("zone", "") for node in nodes}
    silent = {node.name for node in nodes if node.state in GONE or node.barred}
    there: dict[str, int] = dict.fromkeys(zone_of.values(), 0)
    members = [one.node for one in scheduler.job_nodes(job)]
    for node in set(members) & zone_of.keys() - silent:
        there[zone_of[node]] |= bits(scheduler.held(job, node))
    for lease in leases:
        if lease.job == job:
            there[zone_of[lease.node]] |= 1 << lease.shard
    said = {zone: bits(scheduler.in_zone(job, zone)) for zone in there}
    return [
        f"zone {zone!r} has or gets the shards {there[zone]:b}, and is said to: {said[zone]:b}"
        for zone in there
        if there[zone] != said[zone]
    ]


def check(scheduler: Scheduler, jobs: Iterable[str], truth: Mapping[str, Mapping[str, int]]) -> None:
    """Check everything. truth: job -> node -> bitmap. Raises InvariantBroken."""
    nodes, leases = scheduler.nodes(), scheduler.leases()
    wrong = slots(nodes, leases) + lonely_leases(nodes, leases)
    for job in jobs:
        wrong += bucket_reads(scheduler, job, leases)
        wrong += holdings(scheduler, job, truth.get(job, {}), nodes)
        view = scheduler.job(job)
        if view is not None and view.own_zone and view.state == "running":
            wrong += zones(scheduler, job, nodes, leases)
    if wrong:
        raise InvariantBroken("\n".join(wrong))
