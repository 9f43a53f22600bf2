"""What the scheduler costs the server: calls by operation, and Redis's own time of a sample of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import redis

SAMPLE_EVERY = 40  # one call of an operation in so many is bracketed by two INFO calls
BARE_CALLS = 2000


def script_time(client: redis.Redis) -> tuple[int, int]:
    """Calls of scripts so far and the microseconds that the server spent in them (INFO commandstats)."""
    stats = client.info("commandstats")
    both = [stats.get(f"cmdstat_{name}", {}) for name in ("fcall", "evalsha")]
    return sum(int(each.get("calls", 0)) for each in both), sum(int(each.get("usec", 0)) for each in both)


def bare_evalsha(client: redis.Redis) -> tuple[float, float]:
    """Of a script that does nothing: the round trip, and the server's own time, both in microseconds."""
    sha = client.script_load("return 1")
    client.evalsha(sha, 0)
    _, before = script_time(client)
    started = time.perf_counter()
    for _ in range(BARE_CALLS):
        client.evalsha(sha, 0)
    round_trip = (time.perf_counter() - started) / BARE_CALLS * 1e6
    return round_trip, (script_time(client)[1] - before) / BARE_CALLS


def command_calls(client: redis.Redis) -> Counter[str]:
    """How often each command ran, those inside of scripts included."""
    stats = client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()})


class Meter:
    """Counts every call; measures the server's time in total, and by operation from a sample."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.calls: Counter[str] = Counter()
        self.commands: Counter[str] = Counter()
        self._commands: Counter[str] = Counter()
        self.sampled: Counter[str] = Counter()
        self.sampled_us: Counter[str] = Counter()
        self.bare_round_trip = self.bare_server = 0.0
        self.total_calls = self.total_us = 0
        self.wall = 0.0
        self.memory_mb = 0.0  # the most that Redis used beyond what it used at the start
        self._memory_before = 0
        self._before = (0, 0)

    def begin(self) -> None:
        self.bare_round_trip, self.bare_server = bare_evalsha(self.client)
        self._before = script_time(self.client)
        self._commands = command_calls(self.client)
        self._memory_before = int(self.client.info("memory")["used_memory"])
        self.wall = -time.perf_counter()

    def weigh(self) -> None:
        """Look at the server's memory now; `memory_mb` keeps the most that was seen."""
        used = int(self.client.info("memory")["used_memory"]) - self._memory_before
        self.memory_mb = max(self.memory_mb, used / 1e6)

    def end(self) -> None:
        self.weigh()
        self.wall += time.perf_counter()
        self.commands = command_calls(self.client) - self._commands
        calls, us = script_time(self.client)
        self.total_calls, self.total_us = calls - self._before[0], us - self._before[1]

    @contextmanager
    def timed(self, op: str) -> Iterator[None]:
        self.calls[op] += 1
        if self.calls[op] % SAMPLE_EVERY:
            yield
            return
        before = script_time(self.client)[1]
        yield
        self.sampled[op] += 1
        self.sampled_us[op] += script_time(self.client)[1] - before

    def mean_us(self, op: str) -> float | None:
        """The server's mean time for one call of the operation, in microseconds."""
        return self.sampled_us[op] / self.sampled[op] if self.sampled[op] else None
