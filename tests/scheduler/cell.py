"""A cell under test: the real scripts in a real server, a clock that the test moves, short words for what nodes do."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import redis

from transfers.scheduler import Scheduler
from transfers.scheduler.types import Assignment, Heartbeat, JobSpec, NextReply, NodeInfo, Outcome, Report

KEY = "enrolment-key"
JOB = "j1"
PREFIX = "{fdist:main}:"


def crc_of(shard: int) -> int:
    return 1000 + shard


@contextmanager
def broken(client: redis.Redis, key: str) -> Iterator[None]:
    """Until the end a call that writes this key breaks off there: it is of another type."""
    saved = client.dump(key)
    client.delete(key)
    client.set(key, "of another type")
    try:
        yield
    finally:
        client.delete(key)
        if saved:
            client.restore(key, 0, saved)


class Cell:
    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.now = 1_000_000
        self.epochs: dict[str, int] = {}
        self.scheduler = Scheduler(client, clock=lambda: self.now, random=random.Random(7))
        self.scheduler.set_enrolment_keys([hashlib.sha256(KEY.encode()).hexdigest()])

    def nodes(self, *names: str, up: int = 1, down: int = 1, gcs: int = 1) -> None:
        for name in names:
            info = NodeInfo(name, f"{name}:1", "secret", upload_slots=up, download_slots=down, gcs_slots=gcs)
            self.epochs[name] = self.scheduler.register(info, KEY).epoch

    def job(self, nodes: Iterable[str], shards: int = 4, job: str = JOB, **spec: object) -> None:
        fields: dict[str, object] = {"topology": "mesh", "shard_size": 10, "size": 10 * shards, **spec}
        self.scheduler.create_job(JobSpec(job=job, shard_count=shards, **fields), "{}")  # type: ignore[arg-type]
        self.scheduler.enrol(job, list(nodes))

    def holds(self, node: str, *shards: int, job: str = JOB) -> None:
        self.scheduler.announce(job, node, self.epochs[node], {shard: crc_of(shard) for shard in shards})

    def next(self, node: str, *reports: Report, want: int = 1, request_id: str | None = None) -> NextReply:
        return self.scheduler.next(node, self.epochs[node], reports, want, request_id)

    def end(self, node: str, lease: Assignment, outcome: Outcome = "ok", want: int = 0) -> NextReply:
        report = Report(
            lease.lease, outcome, crc_of(lease.shard) if outcome == "ok" else None, bytes=10, ms=5, why="test"
        )
        return self.next(node, report, want=want)

    def inbox(self, node: str) -> list[Assignment]:
        return self.scheduler.wait(node, 0)

    def beat(self, *names: str) -> None:
        for name in names:
            self.scheduler.heartbeat(Heartbeat(name, self.epochs[name]))

    def node(self, name: str):  # type: ignore[no-untyped-def]
        return next(view for view in self.scheduler.nodes() if view.name == name)

    def run(self, *names: str, rounds: int = 400) -> int:
        """Let the nodes work until nothing moves; gives how many shards were moved."""
        under_way: list[tuple[str, Assignment]] = []
        moved = 0
        for name in names:
            under_way += [(name, a) for a in self.next(name, want=2).assignments]
        for _ in range(rounds):
            for name in names:
                under_way += [(name, a) for a in self.inbox(name)]
            if not under_way:
                break
            self.now += 10
            name, lease = under_way.pop(0)
            reply = self.end(name, lease, want=2)
            under_way += [(name, a) for a in reply.assignments]
            if reply.unsettled:
                under_way.append((name, lease))
                continue
            moved += 1
            for job in reply.finished:
                self.scheduler.finish(job, name, self.epochs[name])
        return moved
