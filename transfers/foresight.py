"""What a job would do, said before anything moves. The same planning as `submission.submit`, and nothing is saved."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from nodes import inventory
from nodes.labels import matches
from nodes.models import Node
from transfers.errors import PlanError
from transfers.links import Links, get_links
from transfers.measured import Measured, measure
from transfers.models import Job, JobNode, JobNodeState, JobState
from transfers.planning import JobPlan, NodeFacts, draft_job
from transfers.planning.forecast import BUCKET_QUOTA, Forecast, Forecaster, Load, NodeRates
from transfers.planning.targets import check_room
from transfers.submission import what_is_there
from transfers.words import size_text

ASSUMED_NODE_RATE = 1.25e9  # 10 Gbit/s
ASSUMED_READER_RATE = 150e6  # of one read from the bucket
SHOWN_NODES = 500
SHOWN_SLOWEST = 10


@dataclass(frozen=True)
class Freed:
    """A finished job whose purge would free `size` bytes on a node."""

    job: str
    name: str
    size: int


@dataclass(frozen=True)
class Unfit:
    """A node that has not the room. could_free: the oldest finished jobs there that make enough, or all of them."""

    name: str
    disk_free: int
    short_by: int
    could_free: Sequence[Freed] = ()


@dataclass(frozen=True)
class Evicting:
    """A node that would make room by itself. bytes: that it lacks now. likely: the jobs there that it would evict
    for that now, by its own word; it decides when it is so far."""

    name: str
    bytes: int
    likely: Sequence[Freed] = ()


@dataclass(frozen=True)
class LeftOut:
    """A node that the selector picks and that is not live: it would get the job once it is."""

    name: str
    state: str


@dataclass(frozen=True)
class Rates:
    """Bytes a second. measured_nodes: how many of the job's nodes have reached theirs; the others' are assumed."""

    node: float
    bucket_read: float
    bucket_read_measured: bool
    bucket_quota: float
    measured_nodes: int
    transfers: int
    slowest: Sequence[NodeRates] = ()


@dataclass(frozen=True)
class Preview:
    """refusal: what `submit` would answer now, as (field, sentence); None when it would take the job."""

    plan: JobPlan
    disk_needed: int
    forecasts: Sequence[Forecast]
    rates: Rates
    unfit: Sequence[Unfit] = ()
    evicts: Sequence[Evicting] = ()
    left_out: Sequence[LeftOut] = ()
    refusal: tuple[str, str] | None = None
    tightest: NodeFacts | None = None

    @property
    def forecast(self) -> Forecast:
        """That of the topology that was asked for."""
        return next(each for each in self.forecasts if each.topology == self.plan.request.topology)


def preview(request: Mapping[str, Any], links: Links | None = None) -> Preview:
    """What the job would do; raises what `submit` raises, but for a node without room, which is told of instead."""
    links = links or get_links()
    wanted, listing, facts = what_is_there(request, links)
    plan = draft_job(wanted, listing, facts)
    layout = plan.layout
    measured = measure(links)
    nodes = node_rates(plan.facts, measured, _readers(links.cell))
    reader = measured.reader or ASSUMED_READER_RATE
    load = Load(layout.size, layout.shard_count, layout.shard_size, wanted.gcs_slots)
    told = [node for node in plan.facts if node.disk_free is not None]
    return Preview(
        plan=plan,
        disk_needed=layout.size,
        forecasts=Forecaster(load, nodes, reader).all(),
        rates=Rates(
            node=statistics.median(node.down for node in nodes),
            bucket_read=reader,
            bucket_read_measured=measured.reader is not None,
            bucket_quota=BUCKET_QUOTA,
            measured_nodes=sum(node.measured for node in nodes),
            transfers=measured.transfers,
            slowest=sorted(nodes, key=lambda node: node.down)[:SHOWN_SLOWEST],
        ),
        unfit=_unfit(plan.facts, layout.size, links.cell),
        evicts=evictions(plan.facts, layout.size, links),
        left_out=[
            LeftOut(node.name, node.state)
            for node in sorted(facts, key=lambda node: node.name)
            if node.state != "live" and matches(wanted.nodes, node.name, node.labels)
        ][:SHOWN_NODES],
        refusal=_refusal(plan),
        tightest=min(told, key=lambda node: node.disk_free or 0, default=None),
    )


def node_rates(facts: Iterable[NodeFacts], measured: Measured, readers: Mapping[str, int]) -> list[NodeRates]:
    """Each node's rates, in the same order. What was not measured is taken to be as the median of what was.

    A node that has only received is taken to send as fast, and the other way round: links are mostly even.
    """
    typical = statistics.median(measured.down.values()) if measured.down else ASSUMED_NODE_RATE
    found = []
    for node in facts:
        down, up = measured.down.get(node.name), measured.up.get(node.name)
        found.append(
            NodeRates(
                name=node.name,
                down=down or up or typical,
                up=max(up or 0.0, down or typical),
                readers=readers.get(node.name, 1),
                measured=down is not None,
            )
        )
    return found


def _readers(cell: str) -> dict[str, int]:
    return dict(Node.objects.filter(cell=cell).values_list("name", "gcs_slots"))


def _refusal(plan: JobPlan) -> tuple[str, str] | None:
    try:
        check_room(plan.facts, plan.layout.size)
    except PlanError as error:
        return error.field, error.message
    return None


def _unfit(facts: Sequence[NodeFacts], size: int, cell: str) -> list[Unfit]:
    short = [(node.name, node.disk_free) for node in facts if node.disk_free is not None and node.disk_free < size]
    short = sorted(short, key=lambda pair: pair[1])[:SHOWN_NODES]
    freed = _finished_jobs(cell, [name for name, _ in short]) if short else {}
    return [Unfit(name, free, size - free, _enough(freed.get(name, ()), size - free)) for name, free in short]


def evictions(facts: Sequence[NodeFacts], size: int, links: Links) -> list[Evicting]:
    """The nodes on which the job fits once finished jobs have made room, and which those may be."""
    tight = [
        (node.name, size - (node.disk_free - node.evictable))
        for node in facts
        if node.disk_free is not None and node.disk_free - node.evictable < size <= node.disk_free
    ]
    tight = sorted(tight, key=lambda pair: -pair[1])[:SHOWN_NODES]
    kept = _evictable_jobs(links, [name for name, _ in tight]) if tight else {}
    return [Evicting(name, lacks, _enough(kept.get(name, ()), lacks)) for name, lacks in tight]


def _evictable_jobs(links: Links, names: list[str]) -> dict[str, list[Freed]]:
    """What the nodes would evict, in their own order; nothing while they cannot be asked."""
    try:
        told = inventory.read_all(links.redis, links.cell)
    except redis.RedisError:
        return {}
    orders = {name: told[name].next_to_go() for name in names if name in told}
    jobs = Job.objects.only("id", "name", "source").in_bulk({job for order in orders.values() for job in order})
    return {
        name: [Freed(job.hex, str(jobs[job]), told[name].jobs[job.hex].size) for job in order if job in jobs]
        for name, order in orders.items()
    }


def _finished_jobs(cell: str, names: list[str]) -> dict[str, list[Freed]]:
    """The completed jobs whose files are on the nodes, the oldest first."""
    rows = JobNode.objects.filter(
        node__cell=cell,
        node__name__in=names,
        state=JobNodeState.DONE,
        job__state=JobState.COMPLETE,
        job__purged_at=None,
    )
    found: dict[str, list[Freed]] = defaultdict(list)
    fields = ("node__name", "job_id", "job__name", "job__source", "job__size")
    for node, job, name, source, size in rows.order_by("job__finished_at").values_list(*fields):
        found[node].append(Freed(job.hex, name or source, size))
    return found


def _enough(jobs: Iterable[Freed], needed: int) -> tuple[Freed, ...]:
    taken: list[Freed] = []
    for job in jobs:
        if sum(each.size for each in taken) >= needed:
            break
        taken.append(job)
    return tuple(taken)


def unfit_sentence(node: Unfit) -> str:
    """Why a node would not take the job, and what would help."""
    head = f"{node.name} has {size_text(node.disk_free)} free and lacks {size_text(node.short_by)}"
    if not node.could_free:
        return f"{head}; nothing that fdist placed there can be purged: free space, or leave the node out"
    freed = sum(each.size for each in node.could_free)
    jobs = ", ".join(each.name for each in node.could_free[:3])
    more = "" if len(node.could_free) <= 3 else f" and {len(node.could_free) - 3} more"
    enough = "" if freed >= node.short_by else ", which is not enough"
    return f"{head}; purging {jobs}{more} frees {size_text(freed)}{enough}"
