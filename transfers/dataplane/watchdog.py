"""Ends reads that were cancelled or stopped flowing, while the thread that reads is blocked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transfers.dataplane.gcs_session import Interrupter

_LOOK_SECONDS = 0.05


class Watched:
    """One read. `why` is set when the watchdog broke it off: "cancelled", "stalled" or "slow"."""

    def __init__(self, cancelled: Callable[[], bool], stall_after: float, min_rate: float) -> None:
        self.why = ""
        self.interrupter = Interrupter()
        self._cancelled = cancelled
        self._stall_after = stall_after
        self._min_rate = min_rate
        self._last = self._window_start = time.monotonic()
        self._window_bytes = 0
        self._paused = False

    def moved(self, count: int) -> None:
        self._last = time.monotonic()
        self._window_bytes += count

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Our own disk or rate cap holds the stream up: that time does not count."""
        began = time.monotonic()
        self._paused = True
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self._last += spent
            self._window_start += spent
            self._paused = False

    def look(self, now: float) -> None:
        why = "cancelled" if self._cancelled() else "" if self._paused else self._trouble(now)
        if why and not self.why:
            self.why = why
            self.interrupter.interrupt()

    def _trouble(self, now: float) -> str:
        if now - self._last >= self._stall_after:
            return "stalled"
        elapsed = self._last - self._window_start  # to the last byte: what follows it is a stall's to judge
        if elapsed < self._stall_after:
            return ""
        slow = self._window_bytes < self._min_rate * elapsed
        self._window_start, self._window_bytes = self._last, 0
        return "slow" if slow else ""


class Watchdog:
    """One thread that looks at all reads of a process every 50 ms; it runs only while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: set[Watched] = set()
        self._runs = False

    @contextmanager
    def watch(self, cancelled: Callable[[], bool], stall_after: float, min_rate: float) -> Iterator[Watched]:
        read = Watched(cancelled, stall_after, min_rate)
        with self._lock:
            self._reads.add(read)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="gcs-watchdog", daemon=True).start()
        try:
            with read.interrupter:
                yield read
        finally:
            with self._lock:
                self._reads.discard(read)

    def _run(self) -> None:
        while True:
            with self._lock:
                reads = list(self._reads)
                if not reads:
                    self._runs = False
                    return
            for read in reads:
                read.look(time.monotonic())
            time.sleep(_LOOK_SECONDS)
