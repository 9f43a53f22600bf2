"""Whether a stream still flows: no byte for too long, or too few of them, ends it."""

from __future__ import annotations

import time

from transfers.errors import PeerFailed


class Pace:
    """Watches one transfer. Tell it of every amount moved, of every wait in vain, and of pauses of our own making.

    stall_after: seconds without a byte. min_rate: bytes a second over windows of that length; 0 for no limit. A window
    ends with a byte, so that a stream that fell silent has stalled, and one that drips is slow: never either by chance.
    """

    def __init__(self, stall_after: float, min_rate: float, what: str) -> None:
        self._stall_after = stall_after
        self._min_rate = min_rate
        self._what = what
        self._last = self._window_start = time.monotonic()
        self._window_bytes = 0

    def moved(self, count: int) -> None:
        now = self._last = time.monotonic()
        self._window_bytes += count
        self._check_window(now)

    def paused(self, seconds: float) -> None:
        """Our own rate cap held the stream up: the peer is not to blame for that time."""
        self._last += seconds
        self._window_start += seconds

    def waited(self) -> None:
        """A read came back with nothing. Raises PeerFailed when that has gone on for too long."""
        quiet = time.monotonic() - self._last
        if quiet >= self._stall_after:
            raise PeerFailed("stalled", f"{self._what}: no byte came for {quiet:.1f} s")

    def _check_window(self, now: float) -> None:
        elapsed = now - self._window_start
        if not self._min_rate or elapsed < self._stall_after:
            return
        rate = self._window_bytes / elapsed
        if rate < self._min_rate:
            raise PeerFailed(
                "slow", f"{self._what}: {rate:.0f} bytes/s over {elapsed:.1f} s, {self._min_rate:.0f} wanted"
            )
        self._window_start, self._window_bytes = now, 0
