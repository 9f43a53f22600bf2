"""Scheduler: the Python face of the scripts, put together from what concerns nodes, jobs, transfers and reading."""

from __future__ import annotations

import random as random_module
from collections.abc import Callable

import redis

from transfers.scheduler.clock import RedisClock
from transfers.scheduler.currents import CurrentCalls
from transfers.scheduler.decisions import Decisions
from transfers.scheduler.jobs import JobCalls
from transfers.scheduler.keys import Keys
from transfers.scheduler.nodes import NodeCalls
from transfers.scheduler.reading import Reading
from transfers.scheduler.scripts import Scripts
from transfers.scheduler.transfers import TransferCalls


class Scheduler(NodeCalls, JobCalls, TransferCalls, CurrentCalls, Reading, Decisions):
    """One cell's scheduler.

    client: of the Redis that holds the cell. clock: gives ms; by default Redis's own time. random: seeds the scripts.
    """

    def __init__(
        self,
        client: redis.Redis,
        cell: str = "main",
        *,
        clock: Callable[[], int] | None = None,
        random: random_module.Random | None = None,
        dead_after: int = 10_000,
    ) -> None:
        self._client = client
        self._keys = Keys(cell)
        self._scripts = Scripts(client, self._keys.prefix)
        self._clock = clock or RedisClock(client)
        self._random = random or random_module.Random()  # noqa: S311 - ties between shards, not secrets
        self._dead_after = dead_after
        self._blocking: redis.Redis | None = None
