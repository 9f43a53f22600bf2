"""Virtual time: a heap of things to do, and a clock that jumps from one to the next."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

EPOCH = 1_800_000_000_000  # what the virtual clock reads at time 0, so that times look like real milliseconds


class Timer:
    """Something that will happen at `when`, unless cancelled."""

    __slots__ = ("action", "args", "when")

    def __init__(self, when: float, action: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.when = when
        self.action: Callable[..., Any] | None = action
        self.args = args

    def cancel(self) -> None:
        self.action = None


class Engine:
    """The event loop. Times are milliseconds from the start; equal times run in the order they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handled = 0
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._stopped = False

    def clock(self) -> int:
        """The scheduler's clock: whole milliseconds."""
        return EPOCH + int(self.now)

    def at(self, when: float, action: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer(max(when, self.now), action, args)
        self._order += 1
        heapq.heappush(self._heap, (timer.when, self._order, timer))
        return timer

    def after(self, delay: float, action: Callable[..., Any], *args: Any) -> Timer:
        return self.at(self.now + delay, action, *args)

    def every(self, interval: float, action: Callable[[], Any], first: float | None = None) -> None:
        """Repeat `action` for the rest of the run, or until it returns False."""

        def again() -> None:
            if action() is not False:
                self.after(interval, again)

        self.after(interval if first is None else first, again)

    def stop(self) -> None:
        self._stopped = True

    def run(self, until: float) -> None:
        """Run until `stop`, until nothing is left, or to the time `until`."""
        heap = self._heap
        while heap and not self._stopped:
            when, _, timer = heapq.heappop(heap)
            if timer.action is None:
                continue
            if when > until:
                self.now = until
                return
            self.now = when
            self.handled += 1
            timer.action(*timer.args)
