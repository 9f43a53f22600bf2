"""The scheduler's clock: milliseconds of Redis's time, so that a node whose own clock is off harms nobody."""

from __future__ import annotations

import time

import redis

RESYNC_SECONDS = 60.0
ASKED = 3  # times in a row: the quickest answer tells best, since where a slow one spent its time is not known


class RedisClock:
    """Gives ms since the epoch by Redis's TIME, asked for once a minute and carried on by the monotonic clock."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._offset = 0.0
        self._synced: float | None = None

    def __call__(self) -> int:
        here = time.monotonic()
        if self._synced is None or here - self._synced > RESYNC_SECONDS:
            self._offset = min(self._ask() for _ in range(ASKED))[1]
            self._synced = here = time.monotonic()
        return int((here + self._offset) * 1000)

    def _ask(self) -> tuple[float, float]:
        """How long the answer took, in seconds, and how far Redis's clock is ahead of the monotonic one."""
        before = time.monotonic()
        seconds, micros = self._client.time()
        after = time.monotonic()
        return after - before, seconds + micros / 1e6 - (before + after) / 2
