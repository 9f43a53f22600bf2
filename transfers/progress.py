"""How far a job is, as whoever watches it is told, from whichever source. Bytes, bytes a second, seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

FINAL = ("complete", "failed", "cancelled")
RATE_WINDOW = 5.0  # seconds over which rates are taken
MOVING_FIRST = {"moving": 0, "waiting": 1, "ready": 2, "enrolled": 3, "failed": 4, "dead": 5, "done": 6}


@dataclass(frozen=True)
class NodeProgress:
    """received: bytes of the payload that are here. sources: where shards come from now. why: it waits, or failed."""

    name: str
    state: str
    received: int
    part: float
    rate: float = 0.0
    sources: tuple[str, ...] = ()
    left: float | None = None
    why: str = ""


@dataclass(frozen=True)
class JobProgress:
    """part: of all that is to arrive on all nodes, from 0 to 1. rate: into all nodes together. left: until the last
    node is done, None where that cannot be said. note: what the reader should know about these figures.
    """

    topology: str
    state: str
    reason: str
    elapsed: float
    part: float
    rate: float
    left: float | None
    bytes_gcs: int
    nodes: tuple[NodeProgress, ...]
    name: str = ""
    size: int = 0
    note: str = ""

    @property
    def ended(self) -> bool:
        return self.state in FINAL

    @property
    def done(self) -> int:
        return sum(node.state == "done" for node in self.nodes)

    @property
    def nearest_to_moving(self) -> list[NodeProgress]:
        """The nodes, those that move first and those that are done last."""
        return sorted(self.nodes, key=lambda node: (MOVING_FIRST.get(node.state, 3), node.part, node.name))


class Pace:
    """A rate, from a total that is looked at now and then."""

    def __init__(self, window: float = RATE_WINDOW) -> None:
        self._window = window
        self._seen: deque[tuple[float, float]] = deque()

    def add(self, at: float, total: float) -> float:
        """The rate up to `at`, seconds of any clock; 0.0 until two looks can be compared."""
        self._seen.append((at, total))
        while len(self._seen) > 2 and at - self._seen[0][0] > self._window:
            self._seen.popleft()
        begun, before = self._seen[0]
        return max(0.0, (total - before) / (at - begun)) if at > begun else 0.0


def seconds_left(part: float, nodes: int, size: int, rate: float) -> float | None:
    """Until everything is there, if it goes on at this rate."""
    return (1 - part) * nodes * size / rate if rate > 0 else None
