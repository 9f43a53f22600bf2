"""What a finished job reached, beside what any method could have reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from transfers.planning.bounds import any_method, mesh_rounds
from transfers.scheduler import Scheduler
from transfers.scheduler.types import JobView

EVENTS_A_READ = 5000


@dataclass(frozen=True)
class Links:
    """What the nodes' links can take, in bytes a second; None means no cap, and then there is no bound to compare with.

    readers: reads from the bucket at once, of all nodes together.
    """

    node: float | None
    bucket: float | None
    readers: int


@dataclass(frozen=True)
class Figures:
    """node_seconds: from the job's creation until the node's files are whole and in place. bound: of lower_bound().

    first_transfer: from the job's creation until the first transfer began. last_step: from the last shard's arrival
    until the last node's files were checked and in place. All in seconds.
    """

    topology: str
    size: int
    amplification: float
    node_seconds: tuple[float, ...]
    bound: float | None
    ideal: float | None  # F / B, seconds
    first_transfer: float
    last_step: float

    @property
    def wall(self) -> float:
        return max(self.node_seconds, default=math.nan)

    @property
    def ratio(self) -> float | None:
        """Wall time over the lower bound: 1.0 cannot be beaten."""
        return self.wall / self.bound if self.bound else None

    def seconds_at(self, part: float) -> float:
        """The time by which this part of the nodes was done, by nearest rank."""
        return quantile(self.node_seconds, part)

    def efficiency_at(self, part: float) -> float | None:
        """(F / B) / T for the node at this part of the ranking."""
        return self.ideal / self.seconds_at(part) if self.ideal else None


def quantile(values: Sequence[float], part: float) -> float:
    """Nearest rank: the smallest value that at least this part of the values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(part * len(ranked)) - 1)] if ranked else math.nan


def lower_bound(view: JobView, links: Links) -> float | None:
    """Seconds that no schedule can beat, for this topology, with links of these rates.

    Whatever the method: the origin's rate, a node's intake, and all that can be sent together. For a mesh that passes a
    shard on when it is whole: M - 1 + ceil(log2(N / K + 1)) shard-times. A chain that forwards bytes as they arrive
    comes as near to F / B as its latency lets it. The proofs are cited in docs/architecture.md.
    """
    if not links.node:
        return None
    nodes, size = max(1, view.nodes), view.size
    readers = min(links.readers, nodes)
    reader = min(links.node, links.bucket or links.node)
    origin = reader * (readers if view.topology == "mesh" else 1)
    bound = any_method(size, nodes, origin, links.node, nodes * links.node)
    if view.topology != "mesh" or reader < links.node:
        return bound
    shard_time = size / view.shard_count / links.node
    return max(bound, mesh_rounds(view.shard_count, nodes, readers) * shard_time)


def read_figures(scheduler: Scheduler, job: str, links: Links) -> Figures:
    """The figures of a job that ended, from the scheduler's own events and clock."""
    view = scheduler.job(job)
    if view is None:
        raise LookupError(f"the scheduler does not know job {job}")
    created, done = 0, {}
    first, last = math.inf, -math.inf  # when the first transfer began, and when the last one ended
    cursor = "0"
    while events := scheduler.events(cursor, count=EVENTS_A_READ):
        for event in events:
            if event.fields.get("job") != job:
                continue
            if event.kind == "job_created":
                created = created or event.at
            elif event.kind == "node_done":
                done[event.fields["node"]] = event.at
            elif event.kind == "done":
                first = min(first, event.at - int(event.fields["ms"]))
                last = max(last, event.at)
        cursor = events[-1].cursor
    return Figures(
        topology=view.topology,
        size=view.size,
        amplification=view.bytes_gcs / view.size,
        node_seconds=tuple((at - created) / 1000 for at in done.values()),
        bound=lower_bound(view, links),
        ideal=view.size / links.node if links.node else None,
        first_transfer=(first - created) / 1000,
        last_step=(max(done.values(), default=math.nan) - last) / 1000,
    )
