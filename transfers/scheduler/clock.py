"""The scheduler's clock: milliseconds of Redis's time, so that a node whose own clock is off harms nobody."""

from __future__ import annotations

import time

import redis

RESYNC_SECONDS = 60.0


class RedisClock:
    """Gives ms since the epoch by Redis's TIME, asked for once a minute and carried on by the monotonic clock."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._offset = 0.0
        self._synced: float | None = None

    def __call__(self) -> int:
        here = time.monotonic()
        if self._synced is None or here - self._synced > RESYNC_SECONDS:
            seconds, micros = self._client.time()
            self._offset = seconds + micros / 1e6 - (here + time.monotonic()) / 2
            self._synced = here
        return int((here + self._offset) * 1000)
