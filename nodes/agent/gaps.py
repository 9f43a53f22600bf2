"""How long a node, and each of its lanes, stands still between two transfers while there is work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodes.agent.transfer import Transfer

KEPT = 4096


@dataclass(frozen=True)
class GapSummary:
    """Milliseconds. count: hand-overs seen; waits: lanes that stood still because there was no work, not counted.

    p50, p99, longest: of a lane. node_p50, node_p99: of the node, which stands still when none of its lanes gets bytes.
    """

    count: int = 0
    waits: int = 0
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    node_p50: float = 0.0
    node_p99: float = 0.0

    def __str__(self) -> str:
        return (
            f"handovers={self.count} gap_p50_ms={self.p50:.2f} gap_p99_ms={self.p99:.2f} "
            f"gap_max_ms={self.longest:.2f} node_p50_ms={self.node_p50:.2f} node_p99_ms={self.node_p99:.2f} "
            f"waits={self.waits}"
        )


class GapTrace:
    """From the end of one transfer to the first byte of the next in the same lane; 0 when that came before the end.

    A lane is a place among the transfers that flow at once, from nodes or from the bucket (nodes.agent.turns). A gap in
    which the scheduler had nothing for the node says how much work there was, not how fast it is handed over, so it is
    counted apart, as a wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gaps: deque[float] = deque(maxlen=KEPT)
        self._node_gaps: deque[float] = deque(maxlen=KEPT)
        self._flowing = 0  # transfers whose first byte has come and that are not over
        self._still_since: float | None = None
        self._count = 0
        self._waits = 0
        self._longest = 0.0

    def add(self, seconds: float, *, waited: bool) -> None:
        with self._lock:
            if waited:
                self._waits += 1
                return
            self._count += 1
            self._longest = max(self._longest, seconds * 1000)
            self._gaps.append(seconds * 1000)

    def summary(self) -> GapSummary:
        """Of the last 4096 gaps; count, waits and longest are of all."""
        with self._lock:
            if not self._gaps:
                return GapSummary(waits=self._waits)
            lane, node = _middle_and_end(self._gaps), _middle_and_end(self._node_gaps)
            return GapSummary(self._count, self._waits, *lane, self._longest, *node)

    def first_byte(self, transfer: Transfer) -> None:
        """The first byte of a transfer has come."""
        transfer.gap = _gap_before(transfer)
        with self._lock:
            since, self._still_since = self._still_since, None
            self._flowing += 1
            if transfer.gap is not None and not transfer.gap[1] and transfer.first_byte is not None:
                still = 0.0 if since is None else max(transfer.first_byte - since, 0.0)
                self._node_gaps.append(still * 1000)
        if transfer.gap is not None:
            self.add(transfer.gap[0], waited=transfer.gap[1])

    def over(self, transfer: Transfer) -> None:
        """A transfer has ended, however it did."""
        if transfer.first_byte is None:
            return
        with self._lock:
            self._flowing -= 1
            if not self._flowing:
                self._still_since = transfer.ended


def _middle_and_end(gaps: Collection[float]) -> tuple[float, float]:
    """p50 and p99; 0 of none."""
    ordered = sorted(gaps) or [0.0]
    last = len(ordered) - 1
    return ordered[last // 2], ordered[int(last * 0.99)]


def _gap_before(transfer: Transfer) -> tuple[float, bool] | None:
    """Seconds that its lane stood still before it, and whether for want of work; None for the first of a lane."""
    before = transfer.follows
    if before is None or transfer.first_byte is None:
        return None
    gap = 0.0 if before.ended is None else max(transfer.first_byte - before.ended, 0.0)
    stood_still = before.left_at is not None and before.left_at < transfer.started
    return gap, transfer.pushed and stood_still
