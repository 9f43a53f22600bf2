"""How long a node's lanes stand still between two transfers, while there is work."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodes.agent.transfer import Transfer

KEPT = 4096


@dataclass(frozen=True)
class GapSummary:
    """Milliseconds. count: hand-overs seen; waits: lanes that stood still because there was no work, not counted."""

    count: int = 0
    waits: int = 0
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0

    def __str__(self) -> str:
        return (
            f"handovers={self.count} gap_p50_ms={self.p50:.2f} gap_p99_ms={self.p99:.2f} "
            f"gap_max_ms={self.longest:.2f} waits={self.waits}"
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
            ordered = sorted(self._gaps)
            if not ordered:
                return GapSummary(waits=self._waits)
            last = len(ordered) - 1
            p50, p99 = ordered[last // 2], ordered[int(last * 0.99)]
            return GapSummary(self._count, self._waits, p50, p99, self._longest)

    def first_byte(self, transfer: Transfer) -> None:
        """The first byte of a transfer has come."""
        transfer.gap = _gap_before(transfer)
        if transfer.gap is not None:
            self.add(transfer.gap[0], waited=transfer.gap[1])


def _gap_before(transfer: Transfer) -> tuple[float, bool] | None:
    """Seconds that its lane stood still before it, and whether for want of work; None for the first of a lane."""
    before = transfer.follows
    if before is None or transfer.first_byte is None:
        return None
    gap = 0.0 if before.ended is None else max(transfer.first_byte - before.ended, 0.0)
    stood_still = before.left_at is not None and before.left_at < transfer.started
    return gap, transfer.pushed and stood_still
