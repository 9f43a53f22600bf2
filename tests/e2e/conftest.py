"""One installation for all end-to-end tests; each test brings agents of its own and takes them away again."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from fdist_site.local.fleet import LocalFleet, NodeOptions
from fdist_site.local.payload import Payload, model_payload
from fdist_site.local.processes import wait_until

SIZE = 24 * 10**6
SHARD = 2**20
SLOW = NodeOptions(rate="40mbit", gcs_rate="40mbit", heartbeat_seconds=0.3)  # 24 MB take about 5 s
BUCKET = "models"


class Stage:
    """A fleet with a payload in its bucket, and what the tests do with them."""

    def __init__(self, fleet: LocalFleet, payload: Payload, source: str) -> None:
        self.fleet = fleet
        self.payload = payload
        self.source = source
        self.started: list[str] = []
        self._numbers = itertools.count(1)

    def agents(self, count: int, labels: str = "") -> list[str]:
        """Start so many agents under names that no test had before."""
        names = [f"n{next(self._numbers):03d}" for _ in range(count)]
        for name in names:
            self.start(name, labels)
        self.fleet.wait_live(*names)
        return names

    def start(self, name: str, labels: str = "") -> None:
        self.fleet.start_agent(name, SLOW, labels)
        self.started.append(name)

    def submit(self, topology: str, names: list[str], **options: Any) -> str:
        options.setdefault("destination", f"{topology}-{names[0]}")
        options.setdefault("nodes", {"names": names})
        return self.fleet.submit(self.source, topology, shard_size=SHARD, **options)

    def held(self, job: str, node: str) -> int:
        return sum(byte.bit_count() for byte in self.fleet.scheduler.held(job, node))

    def wait_part(self, job: str, part: float) -> None:
        """Wait until this part of all that is to arrive has arrived."""

        def arrived() -> bool:
            view = self.fleet.scheduler.job(job)
            return view is not None and view.shards_held >= part * view.shard_count * view.nodes

        wait_until(arrived, 60, f"{part:.0%} of job {job}")

    def wait_node(self, job: str, node: str) -> None:
        """Wait until the scheduler counts a node's copy as whole and in place."""

        def done() -> bool:
            try:
                nodes = self.fleet.scheduler.job_nodes(job)
            except redis.RedisError:  # it is being restarted
                return False
            return any(each.node == node and each.state == "done" for each in nodes)

        wait_until(done, 90, f"{node} to finish job {job}")

    def assert_right(self, names: list[str], destination: str) -> None:
        for name in names:
            assert self.payload.problems(self.fleet.data_dir(name) / destination) == []

    def assert_read_once(self, job: str) -> None:
        """No byte left the bucket twice, by the scheduler and, once it has caught up, by the record.

        But for what a node that turned out to be slow had of a read that was given to another (lib/rescue.lua).
        """
        view = self.fleet.scheduler.job(job)
        assert view is not None
        late = [each for each in self.events(job, "failed") if each["why"] == "late" and not each["source"]]
        vain = sum(int(each["bytes"]) for each in late)
        assert vain <= self.payload.size / 100
        assert view.bytes_gcs == self.payload.size + vain

        def recorded() -> bool:
            return bool(self.fleet.job(job)["bytes_from_gcs"] == view.bytes_gcs)

        wait_until(recorded, 60, "the record to count every byte")

    def events(self, job: str, kind: str) -> list[dict[str, str]]:
        found, cursor = [], "0"
        while batch := self.fleet.scheduler.events(cursor):
            found += [dict(event.fields) for event in batch if event.kind == kind and event.fields.get("job") == job]
            cursor = batch[-1].cursor
        return found

    def fetched(self, job: str, names: list[str], *sources: str) -> int:
        """Bytes that agents say they moved for a job, from "gcs", "peers" or both: Redis may have lost its count."""
        found = 0
        for name in names:
            log = self.fleet.root / "logs" / f"{name}.log"
            line = re.compile(rf"job done .*job={job} bytes_gcs=(?P<gcs>\d+) bytes_peers=(?P<peers>\d+)")

            def said(log: Path = log, line: re.Pattern[str] = line) -> bool:
                return line.search(log.read_text()) is not None

            wait_until(said, 60, f"{name} to say what it moved")
            last = list(line.finditer(log.read_text()))[-1]
            found += sum(int(last[source]) for source in sources or ("gcs", "peers"))
        return found

    def clear(self) -> None:
        for name in self.started:
            if name in self.fleet.group.processes:
                self.fleet.kill(name)
        self.started.clear()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with LocalFleet(tmp_path_factory.mktemp("fleet"), test_fleet=True) as fleet:
        fleet.start()
        payload = model_payload(SIZE)
        yield Stage(fleet, payload, payload.upload(fleet.gcs, BUCKET, "tiny"))


@pytest.fixture
def stage(installation: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    yield installation
    installation.clear()
