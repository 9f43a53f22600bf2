"""The scenarios by name: a fleet, a job, what goes wrong, and the goal. Each is made anew from a seed and a scale."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.simulation.faults import (
    Corrupting,
    Death,
    Fault,
    Flush,
    Freeze,
    LostSecond,
    Messages,
    SlowDown,
    Stalls,
)
from tests.simulation.model import NodeSpec, Options, Scenario, SimJob, make_job

Maker = Callable[[random.Random, float], Scenario]
SCENARIOS: dict[str, Maker] = {}


def scenario(maker: Maker) -> Maker:
    SCENARIOS[maker.__name__.replace("_", "-")] = maker
    return maker


def make(name: str, seed: int = 1, scale: float = 1.0) -> Scenario:
    """The scenario called `name`. scale: 0.1 makes a tenth of its nodes and shards."""
    return replace(SCENARIOS[name](random.Random(f"{seed}/{name}"), scale), name=name)


def fleet(count: int, **spec: object) -> tuple[NodeSpec, ...]:
    return tuple(NodeSpec(f"n{i:05d}", **spec) for i in range(count))  # type: ignore[arg-type]


def build(
    nodes: tuple[NodeSpec, ...],
    shards: int,
    *,
    goal: float | None = None,
    options: Options = Options(),  # noqa: B008
    faults: tuple[Fault, ...] = (),
    jobs: tuple[SimJob, ...] = (),
    **spec: object,
) -> Scenario:
    """A scenario of one job for all nodes, or of `jobs`; `spec` goes to the one job's JobSpec."""
    names = [node.name for node in nodes]
    return Scenario("", nodes, jobs or (make_job(names, shards, **spec),), options, faults, goal)  # type: ignore[arg-type]


def in_zones(nodes: tuple[NodeSpec, ...], zones: str = "abc") -> tuple[NodeSpec, ...]:
    return tuple(replace(node, zone=zones[k % len(zones)]) for k, node in enumerate(nodes))


def scaled(value: int, scale: float, least: int = 4) -> int:
    return max(least, round(value * scale))


# --- the goals


@scenario
def even(dice: random.Random, scale: float) -> Scenario:
    """N=1,000, M=1,000, four bucket readers, equal rates."""
    return build(
        fleet(scaled(1000, scale)),
        scaled(1000, scale),
        goal=1.03,
        gcs_slots=4,
        options=Options(check_ms=200_000, sample_ms=2000, heartbeat_ms=8000, reap_ms=1000),
    )


@scenario
def one_reader(dice: random.Random, scale: float) -> Scenario:
    """N=64, M=400, one bucket reader."""
    return build(fleet(scaled(64, scale)), scaled(400, scale), goal=1.06, gcs_slots=1)


@scenario
def agents_slots(dice: random.Random, scale: float) -> Scenario:
    """N=64, M=512, with the slots that agents have by themselves: six up, six down, two for the bucket."""
    nodes = fleet(scaled(64, scale), upload_slots=6, download_slots=6, gcs_slots=2)
    return build(nodes, scaled(512, scale), gcs_slots=16)


@scenario
def agents_slow(dice: random.Random, scale: float) -> Scenario:
    """N=8, M=256, agents' own slots and small shards, one node at a tenth of the rate; the figure is of the others."""
    slots = {"upload_slots": 6, "download_slots": 6, "gcs_slots": 2}
    nodes = list(fleet(8, **slots))
    nodes[3] = replace(nodes[3], up=0.1, down=0.1, slow=True)
    options = Options(
        shard_ms=84, gcs_total=1.0, heartbeat_ms=1000, latency=2, connect_ms=20, verify_ms=3, ahead_ms=20, sample_ms=100
    )
    return build(tuple(nodes), scaled(256, scale), goal=1.15, gcs_slots=16, options=options)


@scenario
def slow_tenth(dice: random.Random, scale: float) -> Scenario:
    """N=1,000, M=500, a tenth of the nodes at a tenth of the rate; the figure is of the fast ones."""
    nodes = fleet(scaled(1000, scale))
    slow = set(dice.sample(range(len(nodes)), len(nodes) // 10))
    nodes = tuple(replace(n, up=0.1, down=0.1, slow=True) if i in slow else n for i, n in enumerate(nodes))
    return build(
        nodes,
        scaled(500, scale),
        goal=1.08,
        gcs_slots=4,
        options=Options(check_ms=200_000, sample_ms=2000, heartbeat_ms=5000, reap_ms=1000),
    )


@scenario
def slow_for_a_while(dice: random.Random, scale: float) -> Scenario:
    """As slow-tenth, and each slow node is slow for a tenth of the time, from a random moment on."""
    nodes, shards = fleet(scaled(1000, scale)), scaled(500, scale)
    slow = set(dice.sample(range(len(nodes)), len(nodes) // 10))
    faults = tuple(
        SlowDown(nodes[i].name, dice.uniform(0, 0.9) * shards * 1000, 0.1, 100.0 * shards) for i in sorted(slow)
    )
    nodes = tuple(replace(n, slow=i in slow) for i, n in enumerate(nodes))
    return build(
        nodes,
        shards,
        goal=1.15,
        gcs_slots=4,
        faults=faults,
        options=Options(check_ms=200_000, sample_ms=2000, heartbeat_ms=5000, reap_ms=1000),
    )


@scenario
def zones(dice: random.Random, scale: float) -> Scenario:
    """N=96 in three zones, M=400, and nodes keep to their own zone: each shard crosses into a zone once."""
    return build(in_zones(fleet(scaled(96, scale, 12))), scaled(400, scale), goal=1.03, gcs_slots=4, own_zone=True)


@scenario
def zones_ignored(dice: random.Random, scale: float) -> Scenario:
    """What `zones` is compared with: the same fleet, and nodes take from anywhere."""
    return build(in_zones(fleet(scaled(96, scale, 12))), scaled(400, scale), goal=1.03, gcs_slots=4)


@scenario
def zones_agents(dice: random.Random, scale: float) -> Scenario:
    """N=60 in two zones of 50 and 10, M=512, with the slots that agents have by themselves."""
    nodes = fleet(scaled(60, scale, 12), upload_slots=6, download_slots=6, gcs_slots=2)
    nodes = tuple(replace(node, zone="b" if k % 6 == 0 else "a") for k, node in enumerate(nodes))
    return build(nodes, scaled(512, scale), gcs_slots=16, own_zone=True)


@scenario
def zones_in_trouble(dice: random.Random, scale: float) -> Scenario:
    """Nodes in three zones that keep to their own; deaths, returns, stalls, damaged bytes, slow nodes, a flush."""
    nodes, shards = in_zones(fleet(scaled(48, scale, 12), upload_slots=2, download_slots=2)), scaled(100, scale)
    span = shards * 1000.0
    some = dice.sample([n.name for n in nodes], 6)
    faults: tuple[Fault, ...] = (
        Death(some[0], dice.uniform(0, span)),
        Death(some[1], dice.uniform(0, span), vanish=True),
        Death(some[2], 0.3 * span, back=0.5 * span),
        SlowDown(some[3], 0.2 * span, 0.1, 0.2 * span),
        Corrupting(some[4], 0.2),
        Freeze(some[5], dice.uniform(0, span), 4000),
        Stalls(0.01),
        Messages(lost=0.005, repeated=0.005, late=0.005),
        Flush(dice.uniform(0.5, 0.7) * span),
    )
    late = tuple(NodeSpec(f"late{i}", joins=dice.uniform(0.1, 0.9) * span, zone="abd"[i]) for i in range(3))
    options = Options(latency=2, connect_ms=10, heartbeat_ms=1000, check_ms=2000)
    return build(nodes + late, shards, gcs_slots=3, faults=faults, options=options, own_zone=True)


@scenario
def slow_bucket(dice: random.Random, scale: float) -> Scenario:
    """N=64, M=256, each bucket reader at a quarter of the card's rate, sixteen of them."""
    return build(fleet(scaled(64, scale)), scaled(256, scale), goal=1.06, gcs_slots=16, options=Options(gcs_rate=0.25))


@scenario
def overhead(dice: random.Random, scale: float) -> Scenario:
    """Five hundredths of a shard-time to claim, connect and report; nodes ask ahead.

    By what a claim (there and back) and a connection take, as agents measure it, and a little: the next transfer then
    begins as the last one ends. Asked earlier it would take its part of two cards that are full.
    """
    return build(
        fleet(scaled(64, scale)),
        scaled(400, scale),
        gcs_slots=4,
        options=Options(latency=10, connect_ms=20, verify_ms=10, ahead_ms=42),
    )


@scenario
def overhead_shown(dice: random.Random, scale: float) -> Scenario:
    """The same, and nodes ask when a transfer has ended."""
    return build(
        fleet(scaled(64, scale)),
        scaled(400, scale),
        gcs_slots=4,
        options=Options(latency=10, connect_ms=20, verify_ms=10),
    )


@scenario
def no_overhead(dice: random.Random, scale: float) -> Scenario:
    """What `overhead` is compared with: the same fleet without it."""
    return build(fleet(scaled(64, scale)), scaled(400, scale), gcs_slots=4)


@scenario
def churn(dice: random.Random, scale: float) -> Scenario:
    """A twentieth of the nodes die at random times, as many join late."""
    nodes, shards = fleet(scaled(200, scale, 20)), scaled(200, scale)
    twentieth = len(nodes) // 20
    dying = dice.sample(nodes, twentieth)
    faults = tuple(Death(n.name, dice.uniform(0, 0.9) * shards * 1000, vanish=dice.random() < 0.5) for n in dying)
    late = tuple(NodeSpec(f"late{i:03d}", joins=dice.uniform(0.05, 0.9) * shards * 1000) for i in range(twentieth))
    return build(nodes + late, shards, goal=1.15, gcs_slots=4, faults=faults, options=Options(heartbeat_ms=2000))


@scenario
def flush(dice: random.Random, scale: float) -> Scenario:
    """Redis loses everything half-way; every node registers and announces again."""
    shards = scaled(200, scale)
    return build(
        fleet(scaled(64, scale)),
        shards,
        gcs_slots=4,
        faults=(Flush(500.0 * shards),),
        options=Options(heartbeat_ms=1000),
    )


@scenario
def pipeline(dice: random.Random, scale: float) -> Scenario:
    """A chain of 100 nodes, M=500, equal rates."""
    return build(
        fleet(scaled(100, scale), upload_slots=2, download_slots=2, gcs_slots=2),
        scaled(500, scale),
        goal=1.10,
        gcs_slots=2,
        topology="pipeline",
        options=Options(heartbeat_ms=1000),
    )


@scenario
def pipeline_slow(dice: random.Random, scale: float) -> Scenario:
    """The same chain with one node at a tenth of the rate in the middle; the figure is of all others."""
    nodes = fleet(scaled(100, scale), upload_slots=2, download_slots=2, gcs_slots=2)
    middle = len(nodes) // 2
    nodes = tuple(replace(n, up=0.1, down=0.1, slow=True) if i == middle else n for i, n in enumerate(nodes))
    return build(
        nodes, scaled(500, scale), goal=1.10, gcs_slots=2, topology="pipeline", options=Options(heartbeat_ms=1000)
    )


@scenario
def wide(dice: random.Random, scale: float) -> Scenario:
    """Cost at 10,000 nodes: few shards, so that a run ends; scale 0.01 is the 100 nodes it is compared with."""
    return build(
        fleet(scaled(10_000, scale)),
        100,
        gcs_slots=8,
        options=Options(check_ms=None, sample_ms=None, heartbeat_ms=8000, reap_ms=1000),
    )


# --- faults


@scenario
def corrupting(dice: random.Random, scale: float) -> Scenario:
    """One node damages all that it sends, another every tenth shard."""
    nodes = fleet(scaled(32, scale))
    return build(
        nodes,
        scaled(100, scale),
        gcs_slots=2,
        faults=(Corrupting(nodes[1].name), Corrupting(nodes[2].name, 0.1)),
        options=Options(heartbeat_ms=1000),
    )


@scenario
def bad_messages(dice: random.Random, scale: float) -> Scenario:
    """Calls lost, answers lost, calls run twice, calls late: each one in fifty."""
    return build(
        fleet(scaled(32, scale)),
        scaled(100, scale),
        gcs_slots=2,
        faults=(Messages(lost=0.02, repeated=0.02, late=0.02),),
        options=Options(latency=2, heartbeat_ms=1000),
    )


@scenario
def stalls(dice: random.Random, scale: float) -> Scenario:
    """One transfer in a hundred stops on its way and never ends by itself."""
    return build(
        fleet(scaled(32, scale)),
        scaled(100, scale),
        gcs_slots=2,
        faults=(Stalls(0.01),),
        options=Options(heartbeat_ms=1000),
    )


@scenario
def lost_second(dice: random.Random, scale: float) -> Scenario:
    """Redis restarts half-way without its last second."""
    shards = scaled(100, scale)
    return build(
        fleet(scaled(32, scale)),
        shards,
        gcs_slots=2,
        faults=(LostSecond(500.0 * shards + 321.0),),
        options=Options(latency=2, heartbeat_ms=1000),
    )


@scenario
def last_copy(dice: random.Random, scale: float) -> Scenario:
    """The first reader dies as soon as it has read: its shards have to come out of the bucket again."""
    nodes = fleet(scaled(16, scale))
    faults = tuple(Death(n.name, 1010.0 + 3000 * i, vanish=True) for i, n in enumerate(nodes[:3]))
    return build(nodes, scaled(50, scale), gcs_slots=2, faults=faults, options=Options(heartbeat_ms=1000))


@scenario
def two_jobs(dice: random.Random, scale: float) -> Scenario:
    """A second job of higher priority on the same nodes, submitted while the first runs."""
    nodes, shards = fleet(scaled(32, scale)), scaled(100, scale)
    names = [n.name for n in nodes]
    jobs = (
        make_job(names, shards, number=1, gcs_slots=2),
        make_job(names, shards // 2, number=2, at=300.0 * shards, gcs_slots=2, priority=5),
    )
    return build(nodes, shards, jobs=jobs, options=Options(heartbeat_ms=1000))


@scenario
def chaos(dice: random.Random, scale: float) -> Scenario:
    """All of it at once: deaths, returns, freezes, slow nodes, stalls, damaged bytes, bad messages, a flush."""
    nodes, shards = fleet(scaled(48, scale, 12), upload_slots=2, download_slots=2), scaled(100, scale)
    span = shards * 1000.0
    names = [n.name for n in nodes]
    some = dice.sample(names, 8)
    faults: tuple[Fault, ...] = (
        Death(some[0], dice.uniform(0, span)),
        Death(some[1], dice.uniform(0, span), vanish=True),
        Death(some[2], 0.3 * span, back=0.5 * span),
        Death(some[3], 0.3 * span, back=0.3 * span + 700),
        Freeze(some[4], dice.uniform(0, span), 4000),
        Freeze(some[5], dice.uniform(0, span), 20_000),
        SlowDown(some[6], 0.2 * span, 0.1, 0.2 * span),
        Corrupting(some[7], 0.2),
        Stalls(0.003),
        Messages(lost=0.005, repeated=0.005, late=0.005),
        LostSecond(dice.uniform(0.2, 0.4) * span),
        Flush(dice.uniform(0.5, 0.7) * span),
    )
    late = tuple(NodeSpec(f"late{i}", joins=dice.uniform(0.1, 0.9) * span) for i in range(3))
    return build(
        nodes + late,
        shards,
        gcs_slots=3,
        faults=faults,
        options=Options(latency=2, connect_ms=10, heartbeat_ms=1000, check_ms=2000),
    )
