"""How far a job is on each node, read from the scheduler alone, without the database or the pages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from transfers.scheduler import Scheduler
from transfers.scheduler.types import GCS, JobView, LeaseView

RATE_WINDOW = 3.0  # seconds over which rates are taken
FINAL = ("complete", "failed", "cancelled")


@dataclass(frozen=True)
class NodeProgress:
    """received: bytes of the payload that are here. rate: bytes a second. sources: where shards come from now."""

    name: str
    state: str
    received: int
    part: float
    rate: float
    sources: tuple[str, ...]
    left: float | None


@dataclass(frozen=True)
class JobProgress:
    """rate: bytes a second into all nodes together. left: seconds until the last node is done, if that can be said."""

    topology: str
    state: str
    reason: str
    elapsed: float
    part: float
    rate: float
    left: float | None
    bytes_gcs: int
    nodes: tuple[NodeProgress, ...]

    @property
    def ended(self) -> bool:
        return self.state in FINAL


class Watcher:
    """Looks at a job again and again and turns counts into rates.

    clock: seconds; passed in so that tests need not wait.
    """

    def __init__(self, scheduler: Scheduler, job: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.scheduler = scheduler
        self.job = job
        self.clock = clock
        self.started = clock()
        self.first_byte: float | None = None  # seconds from the start until bytes were seen
        self._seen: dict[str, list[tuple[float, int]]] = defaultdict(list)

    def look(self) -> JobProgress:
        now = self.clock()
        view = self.scheduler.job(self.job)
        if view is None:  # Redis lost its data, and the coordinator is about to bring the job back
            return JobProgress("", "unknown", "", now - self.started, 0.0, 0.0, None, 0, ())
        leases: dict[str, list[LeaseView]] = defaultdict(list)
        for lease in self.scheduler.leases(self.job):
            leases[lease.node].append(lease)
        nodes = tuple(
            self._node(view, each.node, each.state, each.held, leases[each.node], now)
            for each in sorted(self.scheduler.job_nodes(self.job), key=lambda each: each.node)
        )
        received = sum(node.received for node in nodes)
        if received and self.first_byte is None:
            self.first_byte = now - self.started
        left = [node.left for node in nodes if node.state != "done"]
        return JobProgress(
            topology=view.topology,
            state=view.state,
            reason=view.reason,
            elapsed=now - self.started,
            part=received / (view.size * max(1, len(nodes))),
            rate=sum(node.rate for node in nodes),
            left=max((each for each in left if each is not None), default=None) if None not in left else None,
            bytes_gcs=view.bytes_gcs,
            nodes=nodes,
        )

    def _node(
        self, view: JobView, name: str, state: str, held: int, leases: list[LeaseView], now: float
    ) -> NodeProgress:
        received = min(view.size, held * view.shard_size + sum(lease.bytes for lease in leases))
        if held == view.shard_count:
            received = view.size
        seen = self._seen[name]
        seen.append((now, received))
        while len(seen) > 2 and now - seen[0][0] > RATE_WINDOW:
            seen.pop(0)
        span = now - seen[0][0]
        rate = max(0.0, (received - seen[0][1]) / span) if span > 0 else 0.0
        left = (view.size - received) / rate if rate > 0 and state != "done" else None
        sources = tuple(sorted({"bucket" if lease.source == GCS else lease.source for lease in leases}))
        return NodeProgress(name, state, received, received / view.size, rate, sources, left)
