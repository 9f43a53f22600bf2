"""What happened in a run: who was done when, what moved, which slots were idle and why; and the periodic checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation import invariants
from transfers.scheduler.types import GCS, Assignment, ReapReply

if TYPE_CHECKING:
    from tests.simulation.agent import Agent, Copy
    from tests.simulation.world import World


@dataclass(frozen=True)
class Moved:
    """One transfer that began. source: "" is the bucket."""

    at: float
    job: str
    shard: int
    node: str
    source: str


class Ledger:
    """Written by the world as it runs, read by the report and the picture."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count: Counter[str] = Counter()
        self.done: dict[tuple[str, str], float] = {}
        self.trace: list[Moved] = []
        self.idle_up: Counter[str] = Counter()
        self.idle_down: Counter[str] = Counter()
        self.busy_up = self.busy_down = 0.0
        self.moved_nodes: list[str] = []
        self.flushed_at: float | None = None
        self.failures: list[str] = []
        self.broken: str = ""

    def arm(self) -> None:
        options = self.world.options
        if options.check_ms:
            self.world.engine.every(options.check_ms, self.check)
        if options.sample_ms:
            self.world.engine.every(options.sample_ms, self.sample)

    def close(self) -> None:
        """The end of the run: the last checks, and who never finished."""
        self.check()
        for name in self.world.submitted:
            for node in self.world.jobs[name].nodes:
                agent = self.world.agents.get(node)
                if agent is not None and agent.alive and (name, node) not in self.done:
                    have = agent.copies[name].have.bit_count() if name in agent.copies else 0
                    self.failures.append(f"{node} never finished job {name[-4:]}: {have} shards")

    # --- told by the world

    def assigned(self, agent: Agent, assignment: Assignment) -> None:
        self.count["assignments"] += 1
        self.count["from_bucket" if assignment.source == GCS else "from_peers"] += 1
        if agent.copies[assignment.job].have >> assignment.shard & 1 and not assignment.confirm:
            self.count["moved_again"] += 1
        if self.world.options.trace:
            self.trace.append(
                Moved(self.world.engine.now, assignment.job, assignment.shard, agent.name, assignment.source)
            )

    def after_call(self, op: str, answer: Any) -> None:
        if op == "next":
            self.count["answered"] += len(answer.assignments)
            self.count["parkings"] += bool(answer.parked)
            self.count["rejected"] += len(answer.rejected)
            self.count["stale"] += len(answer.stale)
            self.count["unsettled"] += len(answer.unsettled)

    def after_event(self) -> None:
        if self.world.options.check_ms == 0:
            self.check()

    def pushed(self, assignments: tuple[Assignment, ...]) -> None:
        self.count["pushed"] += len(assignments)

    def reaped(self, reply: ReapReply) -> None:
        self.count["expired"] += reply.expired
        self.count["declared_dead"] += len(reply.died)
        self.count["matched_by_reaper"] += reply.matched
        self.moved_nodes += reply.moved

    def missing(self, assignment: Assignment) -> None:
        self.count["missing"] += 1

    def serving(self, source: Agent) -> None:
        if len(source.up.flows) > source.spec.upload_slots:
            self.count["oversubscribed"] += 1

    def flushed(self) -> None:
        self.count["flushes"] += 1
        self.flushed_at = self.world.engine.now

    def node_done(self, agent: Agent) -> None:
        for name, copy in agent.copies.items():
            if copy.finished is not None:
                self.done.setdefault((name, agent.name), copy.finished)

    # --- periodic

    def check(self) -> None:
        """The invariants, now. Between a loss of Redis's data and its rebuilding there is nothing to check."""
        if self.broken:
            return
        world = self.world
        truth: dict[str, dict[str, int]] = {name: {} for name in world.submitted}
        for agent in world.agents.values():
            if agent.alive and agent.epoch:
                for name, copy in agent.copies.items():
                    if name in truth:
                        truth[name][agent.name] = copy.have
        self.count["checks"] += 1
        world.meter.weigh()
        try:
            invariants.check(world.scheduler, sorted(world.submitted), truth)
        except invariants.InvariantBroken as error:
            self.broken = f"at {world.engine.now:.1f} ms: {error}"
            world.engine.stop()

    def sample(self) -> None:
        """Count idle slots of unfinished work, each with the reason why nothing moves there."""
        step = self.world.options.sample_ms or 0.0
        for name in self.world.submitted:
            full = (1 << self.world.jobs[name].spec.shard_count) - 1
            agents = [(a, a.copies[name]) for a in self.world.agents.values() if a.alive and name in a.copies]
            if any(copy.finished is None for _, copy in agents):
                self._sample_job(agents, full, step)

    def _sample_job(self, agents: list[tuple[Agent, Copy]], full: int, step: float) -> None:
        uploads: Counter[str] = Counter()
        receivers: list[tuple[Agent, int, int]] = []  # with what they need, and how many slots are free
        for agent, copy in agents:
            coming = 0
            for assignment in agent.leases.values():
                coming |= 1 << assignment.shard
                uploads[assignment.source] += 1
            need = full & ~copy.have & ~coming
            busy = sum(1 for a in agent.leases.values() if a.source != GCS)
            self.busy_down += busy * step
            if copy.finished is None and need:
                receivers.append((agent, need, agent.spec.download_slots - busy))
        senders = [(a, c.have) for a, c in agents if uploads[a.name] < a.spec.upload_slots]
        offered = anywhere = wanted = wanted_by_idle = 0
        for _, have in senders:
            offered |= have
        for _, copy in agents:
            anywhere |= copy.have
        for agent, need, free in receivers:
            wanted |= need
            if free <= 0:
                continue
            wanted_by_idle |= need
            reason = (
                "waits for an answer"
                if not agent.parked
                else "missed match"
                if need & offered
                else "all holders are busy"
                if need & anywhere
                else "not out of the bucket yet"
            )
            self.idle_down[reason] += free * step
        for agent, copy in agents:
            free = agent.spec.upload_slots - uploads[agent.name]
            self.busy_up += (agent.spec.upload_slots - free) * step
            if free > 0:
                reason = (
                    "missed match"
                    if copy.have & wanted_by_idle
                    else "receivers are busy"
                    if copy.have & wanted
                    else "nothing to give"
                )
                self.idle_up[reason] += free * step
