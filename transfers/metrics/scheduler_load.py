"""What the scheduler's Redis says of itself: time by command, slow calls, memory, clients.

A managed Redis may refuse some of these; what it refuses is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis.exceptions import ResponseError

from transfers.links import Links

# The scripts are called by the first of them, or by the second where a server has no functions.
COMMANDS = ("fcall", "evalsha", "blpop", "xread", "hgetall", "get", "zrange", "brpop", "lpush")
MICRO = 1e-6


def figures(links: Links) -> Iterator[Metric]:
    """Raises RedisError when the server cannot be reached."""
    client = links.redis
    client.ping()
    with suppress(ResponseError):
        yield from _commands(client.info("commandstats"))
    with suppress(ResponseError):
        slow = int(client.slowlog_len())
        yield GaugeMetricFamily("fdist_redis_slow_calls", "Entries of the server's SLOWLOG.", value=slow)
    with suppress(ResponseError):
        info: Any = {**client.info("memory"), **client.info("clients"), **client.info("stats")}
        yield GaugeMetricFamily("fdist_redis_memory_bytes", "Memory in use.", value=info["used_memory"])
        yield GaugeMetricFamily("fdist_redis_memory_limit_bytes", "0 is none.", value=info.get("maxmemory", 0))
        yield GaugeMetricFamily("fdist_redis_clients", "Connections.", value=info["connected_clients"])
        evicted = info.get("evicted_keys", 0)
        yield CounterMetricFamily("fdist_redis_evicted_keys", "Keys that were thrown out; must stay 0.", value=evicted)


def _commands(stats: Any) -> Iterator[Metric]:
    """Of the commands that we use much, by name; of all others the sum."""
    calls = CounterMetricFamily("fdist_redis_command_calls", "Calls of the whole server.", labels=["command"])
    seconds = CounterMetricFamily("fdist_redis_command_seconds", "Time that they took.", labels=["command"])
    totals = dict.fromkeys((*COMMANDS, "other"), (0, 0.0))
    for name, row in stats.items():
        command = name.removeprefix("cmdstat_").partition("|")[0]
        command = command if command in COMMANDS else "other"
        number, spent = totals[command]
        totals[command] = (number + int(row["calls"]), spent + float(row["usec"]) * MICRO)
    for command, (number, spent) in totals.items():
        calls.add_metric([command], number)
        seconds.add_metric([command], spent)
    yield calls
    yield seconds
