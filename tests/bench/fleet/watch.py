"""Looks at the hosts' links while a method runs: how long nothing came, and when half of it has come, for the fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from types import TracebackType

from tests.bench.fleet.namespaces import Namespaces

LOOK_SECONDS = 0.05
PARTS = 20
NEXT_TO_NOTHING = 0.02  # of what the nodes' links take in that time


def rates_of(seen: list[tuple[float, int]]) -> list[float]:
    """Bytes a second in each of PARTS parts of what was seen, (seconds, bytes in all); none if that was too short."""
    if len(seen) <= PARTS:
        return []
    marks = [seen[round(part * (len(seen) - 1) / PARTS)] for part in range(PARTS + 1)]
    return [(later[1] - now[1]) / (later[0] - now[0]) for now, later in pairwise(marks)]


class Watch:
    """Runs from the start of a method to its end.

    half_way: called once, when the nodes have received half of all that they will. rate: of one node's link, bit/s.
    """

    def __init__(
        self, net: Namespaces, nodes: list[int], wire_bytes: float, rate: int, half_way: Callable[[], None] | None
    ) -> None:
        self.longest_pause = 0.0
        self._net = net
        self._nodes = nodes
        self._wire_bytes = wire_bytes
        self._least = rate / 8 * len(nodes) * LOOK_SECONDS * NEXT_TO_NOTHING
        self._half_way = half_way
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._base = 0
        self._full = rate / 8 * len(nodes)
        self._seen: list[tuple[float, int]] = []

    def __enter__(self) -> Watch:
        self._base = self._total()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """What comes from now on is of no interest."""
        self._ended.set()
        self._thread.join()

    def use(self) -> str:
        """What the nodes' links received of what they can take, in per cent, in each twentieth of the time."""
        rates = rates_of(self._seen)
        if not rates:
            return ""
        shares = " ".join(f"{100 * rate / self._full:.0f}" for rate in rates)
        received = (self._seen[-1][1] - self._base) / self._wire_bytes
        return f"links' use {shares} %; received {received:.3f} of what is needed"

    def _total(self) -> int:
        return sum(self._net.received(node) for node in self._nodes)

    def _run(self) -> None:
        before, quiet_since = self._base, None
        begun = False
        while not self._ended.wait(LOOK_SECONDS):
            now, total = time.monotonic(), self._total()
            self._seen.append((now, total))
            flows = total - before > self._least
            before = total
            begun = begun or flows
            if flows or not begun:
                quiet_since = now
            elif quiet_since is not None and total - self._base < 0.97 * self._wire_bytes:
                self.longest_pause = max(self.longest_pause, now - quiet_since)
            if self._half_way is not None and total - self._base > self._wire_bytes / 2:
                self._half_way()
                self._half_way = None
