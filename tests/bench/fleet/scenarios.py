"""The scenarios of the fleet, with their goals and the methods that are compared in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.bench.fleet.scenario import Scenario

SLOW_PART = 10  # a slow node has this part of the others' rate
ORIGIN_PART = 4


@dataclass(frozen=True)
class Bench:
    """A scenario, what it is held against, and which methods play it. before: run first, for a goal that is a ratio."""

    scenario: Scenario
    methods: Sequence[str]
    goals: Sequence[str]


ALL = ("mesh", "pipeline", "libtorrent", "download", "chain")
NAMES = {
    "even8": "8 nodes, all links equal",
    "even16": "16 nodes, all links equal",
    "slow-origin": "the origin's link has a quarter of the nodes' rate",
    "slow-node": "one node with a tenth of the rate",
    "killed": "one node's processes killed half-way",
    "unplugged": "one node's link cut half-way",
    "loopback": "no shaping: CPU for 1 GB to 4 nodes, one agent's intake from one peer",
    "memory": "peak memory of an agent, for a small and a large sparse payload",
}


def shaped(name: str, size: int, rate: int) -> Bench:
    """A scenario on shaped links, by its name."""
    nodes = 16 if name == "even16" else 8
    even = Scenario(NAMES[name], nodes, size, rate, rate)
    last = nodes - 1
    match name:
        case "even8" | "even16":
            mesh = "1.10" if name == "even8" else "1.12"
            goals = [f"mesh <= {mesh} and below libtorrent", "pipeline <= 1.05", "copies out of the origin <= 1.01"]
            return Bench(even, ALL, goals)
        case "slow-origin":
            return Bench(
                replace(even, origin_rate=rate // ORIGIN_PART), ("mesh", "pipeline", "libtorrent"), ["<= 1.08"]
            )
        case "slow-node":
            slow = replace(even, slow={last // 2: rate // SLOW_PART})
            return Bench(slow, ("mesh", "pipeline", "libtorrent"), ["mesh <= 1.15, pipeline <= 1.25"])
        case "killed" | "unplugged":
            fault = replace(even, fault="kill" if name == "killed" else "cut")
            goals = ["<= 1.15 of the same run without the loss (even8)", "no pause longer than 3 s"]
            return Bench(fault, ("mesh", "pipeline", "libtorrent"), goals)
    raise ValueError(f"{name} is not played on shaped links")
