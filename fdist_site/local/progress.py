"""How far a job is on each node, read from the scheduler alone, without the database or the pages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from transfers.progress import JobProgress, NodeProgress, Pace
from transfers.scheduler import Scheduler
from transfers.scheduler.types import GCS, JobView, LeaseView


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
        self._paces: dict[str, Pace] = defaultdict(Pace)

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
        rate = self._paces[name].add(now, received)
        left = (view.size - received) / rate if rate > 0 and state != "done" else None
        sources = tuple(sorted({"bucket" if lease.source == GCS else lease.source for lease in leases}))
        return NodeProgress(name, state, received, received / view.size, rate, sources, left)
