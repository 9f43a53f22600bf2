"""Two versions of fdist on one cell, as in the middle of an upgrade: each calls its own functions on the same keys."""

from __future__ import annotations

import random
from typing import Any

import redis as redis_py

from tests.scheduler.cell import JOB, Cell
from transfers.scheduler import Scheduler, scripts
from transfers.scheduler.decisions import Granted

BEFORE = "0123456789ab"


class VersionBefore:
    """Calls the functions of another version, which it loads for itself as agents do."""

    def __init__(self, client: redis_py.Redis, prefix: str) -> None:
        self._client, self._prefix = client, prefix
        client.function_load(scripts.library().replace(scripts.version(), BEFORE), replace=True)

    def __call__(self, name: str, *args: Any) -> Any:
        return self._client.fcall(scripts.function(name).replace(scripts.version(), BEFORE), 1, self._prefix, *args)


class Mixed(Cell):
    """Nodes whose names begin with "old" are of the version before; so is the coordinator until `upgrade`."""

    def __init__(self, client: redis_py.Redis) -> None:
        super().__init__(client)
        self.new = self.scheduler
        self.old = Scheduler(client, clock=lambda: self.now, random=random.Random(7))
        self.old._scripts = VersionBefore(client, "{fdist:main}:")  # type: ignore[assignment]
        self.coordinator = self.old

    def of(self, node: str) -> Scheduler:
        return self.old if node.startswith("old") else self.new

    def nodes(self, *names: str, **slots: int) -> None:
        for name in names:
            self.scheduler = self.of(name)
            super().nodes(name, **slots)
        self.scheduler = self.coordinator

    def holds(self, node: str, *shards: int, job: str = JOB) -> None:
        self.scheduler = self.of(node)
        super().holds(node, *shards, job=job)
        self.scheduler = self.coordinator

    def next(self, node: str, *arguments: Any, **options: Any) -> Any:
        self.scheduler = self.of(node)
        self.now += 1
        try:
            return super().next(node, *arguments, **options)
        finally:
            self.scheduler = self.coordinator


def test_a_job_of_old_and_new_nodes_is_moved_once_and_completes(redis: redis_py.Redis) -> None:
    cell = Mixed(redis)
    names = ["old-1", "old-2", "new-1", "new-2"]
    cell.nodes(*names)
    cell.job(names, shards=12)
    for name in names:
        cell.holds(name)
    assert cell.run(*names) == 48
    view = cell.new.job(JOB)
    assert view is not None and view.state == "complete" and view.bytes_gcs == 120
    for each in (cell.old, cell.new, cell.old):
        each.reap()  # writes what each has kept of the log
    grants = [line.lease for line in cell.new.decisions(JOB) if isinstance(line, Granted)]
    assert len(grants) == len(set(grants)) == 48
    assert all(name.encode() in repr(redis.function_list()).encode() for name in (BEFORE, scripts.version()))


def test_a_new_coordinator_takes_over_a_job_of_old_nodes(redis: redis_py.Redis) -> None:
    cell = Mixed(redis)
    names = ["old-1", "old-2", "old-3"]
    cell.nodes(*names)
    cell.job(names, shards=6)
    for name in names:
        cell.holds(name)
    cell.coordinator = cell.scheduler = cell.new
    cell.scheduler.reap()
    cell.nodes("new-1")
    cell.scheduler.enrol(JOB, ["new-1"])
    cell.holds("new-1")
    assert cell.run(*names, "new-1") == 24
    view = cell.new.job(JOB)
    assert view is not None and view.state == "complete"
