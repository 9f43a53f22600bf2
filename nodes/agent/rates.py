"""How fast bytes come and go, measured as they pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from transfers.dataplane.ratelimit import Limiter

HALF_LIFE = 2.0  # seconds until a past rate weighs half
FLOW_MEMORY = 30.0  # seconds a flow's rate is told after its last transfer
FLOW_WEIGHT = 0.5  # of the newest transfer in a flow's rate


class AllLimits:
    """Several caps in a row, all of which hold: bytes from the bucket pass the node's network link as well."""

    def __init__(self, limiters: Sequence[Limiter]) -> None:
        self._limiters = tuple(limiters)

    @property
    def rate_bits(self) -> int | None:
        return min((rate for limiter in self._limiters if (rate := limiter.rate_bits)), default=None)

    @property
    def quantum(self) -> int:
        return min(limiter.quantum for limiter in self._limiters)

    def take(self, amount: int, cancelled: Callable[[], bool] | None = None) -> None:
        for limiter in self._limiters:
            limiter.take(amount, cancelled)


class Meter:
    """Bytes a second, averaged over the last few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at = clock()
        self._since = 0
        self._rate = 0.0
        self.total = 0

    def add(self, amount: int) -> None:
        with self._lock:
            self._since += amount
            self.total += amount

    def rate(self) -> float:
        """The rate up to now; meant to be asked about once a second."""
        with self._lock:
            now = self._clock()
            elapsed = now - self._at
            if elapsed > 0:
                weight = 1 - 0.5 ** (elapsed / HALF_LIFE)
                self._rate += weight * (self._since / elapsed - self._rate)
                self._at, self._since = now, 0
            return self._rate


class Flows:
    """The rate of each source's transfers to this node, while they are recent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._flows: dict[str, tuple[float, float]] = {}  # source -> (rate, told at)

    def add(self, source: str, amount: int, seconds: float) -> None:
        """A transfer of `amount` bytes took `seconds`."""
        if amount <= 0 or seconds <= 0:
            return
        with self._lock:
            rate, _ = self._flows.get(source, (amount / seconds, 0.0))
            self._flows[source] = (rate + FLOW_WEIGHT * (amount / seconds - rate), self._clock())

    def rates(self) -> dict[str, float]:
        with self._lock:
            oldest = self._clock() - FLOW_MEMORY
            self._flows = {source: flow for source, flow in self._flows.items() if flow[1] > oldest}
            return {source: rate for source, (rate, _) in self._flows.items()}
