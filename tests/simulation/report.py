"""The figures of a run: makespan against the lower bound, amplification, and what the scheduler cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tests.simulation.model import SHARD_SIZE, Scenario
from tests.simulation.network import HOP_MS
from tests.simulation.world import World


def mesh_bound(shards: int, nodes: int, readers: float, shard_ms: float) -> float:
    """M - 1 + ceil(log2(N / K + 1)) shard-times; readers: K, in units of the card's rate (16 at a quarter are 4).

    Source: Mundinger, Weber and Weiss 2008 for K = 1; for K readers, holders at most double and add K each round.
    Never less than what the readers together need to bring every shard out once.
    """
    rounds = shards - 1 + math.ceil(math.log2(nodes / readers + 1))
    return max(rounds, shards / readers) * shard_ms


def chain_bound(shards: int, nodes: int, shard_ms: float, hop_ms: float, readers: float) -> float:
    """F / B + (N - 1) * (p / B + l): a chain that forwards bytes as they arrive; hop_ms is p / B + l."""
    return shards * shard_ms / min(1.0, readers) + (nodes - 1) * hop_ms


def scenario_bound(scenario: Scenario) -> float:
    """The lower bound of the scenario's first job, over the nodes that are present from the start and never slow."""
    if scenario.bound_ms is not None:
        return scenario.bound_ms(scenario)
    job, options = scenario.jobs[0], scenario.options
    fast = [n for n in scenario.nodes if not n.slow and n.joins == 0 and n.name in set(job.nodes)]
    readers = min(job.spec.gcs_slots, sum(n.gcs_slots for n in fast)) * options.gcs_rate
    if options.gcs_total is not None:
        readers = min(readers, options.gcs_total)
    if job.spec.topology == "pipeline":
        readers = min(job.spec.gcs_slots, max(n.gcs_slots for n in fast)) * options.gcs_rate
        return chain_bound(
            job.spec.shard_count,
            len(fast),
            options.shard_ms,
            HOP_MS + options.connect_ms + 2 * options.latency,
            readers,
        )
    return mesh_bound(job.spec.shard_count, len(fast), readers, options.shard_ms)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that is not below `share` of them. values: sorted, not empty."""
    return values[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Figures:
    """Times in ms. ratio: the last of the fast, present nodes against the bound. amplification: bucket bytes / F.

    crossings: bytes from one zone to another / F; None where there is one zone.
    """

    scenario: str
    seed: int
    nodes: int
    shards: int
    bound: float
    p50: float
    p99: float
    last: float
    last_of_all: float
    ratio: float
    goal: float | None
    amplification: float
    crossings: float | None
    assignments: int
    calls: dict[str, int]
    redis_us_per_assignment: float
    busy_us_per_assignment: float | None  # the same calls made again without a pause, if they were
    redis_us: dict[str, float]
    commands: dict[str, float]
    bare_round_trip_us: float
    bare_server_us: float
    attempts_per_assignment: float | None
    wall_s: float
    idle_up: dict[str, float]
    idle_down: dict[str, float]
    counts: dict[str, int]
    memory_mb: float
    failures: tuple[str, ...]
    broken: str

    @property
    def sound(self) -> bool:
        """Every live node has everything, and no invariant was broken."""
        return not self.failures and not self.broken

    @property
    def met(self) -> bool:
        return self.sound and (self.goal is None or self.ratio <= self.goal)


def figures(world: World, seed: int) -> Figures:
    """Take the figures of a finished run."""
    scenario, ledger, meter = world.scenario, world.ledger, world.meter
    job = scenario.jobs[0]
    present = {n.name for n in scenario.nodes if n.joins == 0 and n.leaves is None and not n.slow}
    present -= {fault.node for fault in world.faults if getattr(fault, "back", None) is not None}  # type: ignore[attr-defined]
    times = sorted(at - job.at for (name, node), at in ledger.done.items() if name == job.name and node in present)
    live = {n for n in present if world.agents[n].alive}
    times += [math.inf] * len(
        {n for n in live & set(job.nodes)} - {node for name, node in ledger.done if name == job.name}
    )
    every = [at - job.at for (name, _), at in ledger.done.items() if name == job.name] or [math.inf]
    times = times or [math.inf]
    bound = scenario_bound(scenario)
    assignments = ledger.count["assignments"]
    bucket = sum(agent.bytes_gcs for agent in world.agents.values())
    across = sum(agent.bytes_across for agent in world.agents.values())
    payload = sum(j.spec.shard_count * SHARD_SIZE for j in scenario.jobs)
    unfinished_ms = len(scenario.nodes) * max(every)

    def shares(idle: dict[str, float]) -> dict[str, float]:
        return {why: ms / unfinished_ms for why, ms in sorted(idle.items(), key=lambda item: -item[1])}

    return Figures(
        scenario=scenario.name,
        seed=seed,
        nodes=len(scenario.nodes),
        shards=job.spec.shard_count,
        bound=bound,
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        last=times[-1],
        last_of_all=max(every),
        ratio=times[-1] / bound,
        goal=scenario.goal,
        amplification=bucket / payload,
        crossings=across / payload if len({node.zone for node in scenario.nodes}) > 1 else None,
        assignments=assignments,
        calls=dict(meter.calls),
        redis_us_per_assignment=meter.total_us / max(1, assignments),
        busy_us_per_assignment=None,
        redis_us={op: us for op in meter.calls if (us := meter.mean_us(op)) is not None},
        commands={name: n / max(1, assignments) for name, n in meter.commands.most_common(9)},
        bare_round_trip_us=meter.bare_round_trip,
        bare_server_us=meter.bare_server,
        attempts_per_assignment=attempts(world),
        wall_s=meter.wall,
        idle_up=shares(ledger.idle_up),
        idle_down=shares(ledger.idle_down),
        counts=dict(ledger.count),
        memory_mb=meter.memory_mb,
        failures=tuple(ledger.failures),
        broken=ledger.broken,
    )


def attempts(world: World) -> float | None:
    """Tries to match per match made, if the scheduler counts them."""
    overview: dict[str, Any] = world.scheduler.overview()
    tried, made = overview.get("attempts"), overview.get("assigned")
    return tried / made if tried is not None and made else None


def text(f: Figures) -> str:
    """The figures as a person reads them."""
    goal = "" if f.goal is None else f"  (goal {f.goal:.2f}: {'met' if f.met else 'MISSED'})"
    lines = [
        f"{f.scenario}: {f.nodes} nodes, {f.shards} shards, seed {f.seed}",
        f"  bound {f.bound / 1000:.1f} s   p50 {f.p50 / 1000:.1f}   p99 {f.p99 / 1000:.1f}   last {f.last / 1000:.1f}"
        f"   last of all {f.last_of_all / 1000:.1f}",
        f"  last / bound {f.ratio:.4f}{goal}",
        f"  bucket bytes / payload {f.amplification:.4f}   assignments {f.assignments}"
        + ("" if f.crossings is None else f"   bytes between zones / payload {f.crossings:.2f}"),
        f"  Redis time per assignment {f.redis_us_per_assignment:.1f} us"
        f"   (a bare EVALSHA: {f.bare_server_us:.1f} us of the server, {f.bare_round_trip_us:.1f} us round trip)"
        + (
            ""
            if f.busy_us_per_assignment is None
            else f"\n    the same calls again, without a pause: {f.busy_us_per_assignment:.1f} us"
        ),
        "  mean Redis us per call: " + ", ".join(f"{op} {us:.0f} (x{f.calls[op]})" for op, us in f.redis_us.items()),
        "  commands per assignment: " + ", ".join(f"{name} {n:.1f}" for name, n in f.commands.items()),
        "  attempts per assignment: "
        + ("not counted" if f.attempts_per_assignment is None else f"{f.attempts_per_assignment:.2f}"),
        "  idle download slots: " + spoken(f.idle_down),
        "  idle upload slots: " + spoken(f.idle_up),
        "  counts: " + ", ".join(f"{what} {n}" for what, n in sorted(f.counts.items()) if n),
        f"  Redis memory {f.memory_mb:.1f} MB   wall {f.wall_s:.1f} s",
    ]
    lines += [f"  FAILED {line}" for line in f.failures[:10]]
    if f.broken:
        lines.append("  BROKEN " + f.broken.replace("\n", "\n         "))
    return "\n".join(lines)


def spoken(shares: dict[str, float]) -> str:
    return ", ".join(f"{why} {share:.2%}" for why, share in shares.items()) or "none"
