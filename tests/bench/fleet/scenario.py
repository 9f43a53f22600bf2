"""What is measured: so many nodes, so large a payload, links of such rates, and what goes wrong on the way."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["", "kill", "cut"]


@dataclass(frozen=True)
class Scenario:
    """Rates are bit/s of the links, both ways; `size` is bytes.

    slow: nodes with a rate of their own. fault: what happens to the last node half-way: its processes are killed, or
    its link is cut without a word. All figures of a run are then about the others.
    """

    name: str
    nodes: int
    size: int
    rate: int
    origin_rate: int
    slow: Mapping[int, int] = field(default_factory=dict)
    fault: Fault = ""

    @property
    def judged(self) -> list[int]:
        """The nodes whose times count: neither slow nor lost."""
        lost = {self.nodes - 1} if self.fault else set()
        return [node for node in range(self.nodes) if node not in self.slow and node not in lost]

    def bound(self, share: float) -> float:
        """T*: seconds that no method can beat, for the nodes that are judged, alone with the origin.

        share: what the payload of one TCP connection gets of a link's rate.
        """
        up = self.rate * share / 8
        origin = self.origin_rate * share / 8
        count = len(self.judged)
        return max(self.size / origin, self.size / up, count * self.size / (origin + count * up))


@dataclass(frozen=True)
class Result:
    """seconds: by node, from the start until its files are whole; nan for one that did not get there.

    copies: bytes that the origin's NIC sent, without headers, by the payload's size. cpu: seconds of all the nodes'
    processes. pause: the longest time, in seconds, in which the nodes together received next to nothing.
    """

    method: str
    seconds: Mapping[int, float]
    copies: float = math.nan
    cpu: float = math.nan
    pause: float = math.nan
    notes: str = ""

    def last(self, nodes: list[int]) -> float:
        """When the last of these nodes was done; nan when one of them was not."""
        times = [self.seconds.get(node, math.nan) for node in nodes]
        return math.nan if any(map(math.isnan, times)) else max(times)


@dataclass(frozen=True)
class Skipped:
    """A method that cannot run here, and why."""

    method: str
    why: str


def median_run(results: list[Result], nodes: list[int]) -> Result:
    """The run in the middle, by when the last node was done."""
    ranked = sorted(results, key=lambda result: _order(result.last(nodes)))
    return ranked[(len(ranked) - 1) // 2]


def spread(results: list[Result], nodes: list[int]) -> tuple[float, float, float]:
    """Least, median and most seconds of several runs."""
    times = [result.last(nodes) for result in results]
    return min(times), statistics.median(times), max(times)


def _order(seconds: float) -> float:
    return math.inf if math.isnan(seconds) else seconds
