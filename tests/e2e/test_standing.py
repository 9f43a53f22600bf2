"""A standing distribution between real processes: versions, switches, nodes that come and go, losses; byte by byte."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fdist_site.local.fleet import NodeOptions
from fdist_site.local.processes import wait_until
from tests.e2e.conftest import BUCKET, Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
SIZE = 3 * 10**6
NODE = NodeOptions(rate="100mbit", gcs_rate="100mbit", heartbeat_seconds=0.3, reuse="link")
_numbers = itertools.count(1)


class Watched:
    """Reads through a link all the time, as a service would, and keeps what it should never see."""

    def __init__(self, link: Path, versions: Mapping[str, set[str]]) -> None:
        """versions: what each version's file `version` says -> the digests of its `weights`."""
        self.link = link
        self.versions = versions
        self.looks = 0
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                folder = self.link.resolve(strict=True)  # the folder that one start of a service works with
                says = (folder / "version").read_text()
                digest = hashlib.sha256((folder / "weights").read_bytes()).hexdigest()
            except OSError as error:
                self.wrong.append(repr(error))
                continue
            if digest not in self.versions.get(says, ()):
                self.wrong.append(f"{says} has other weights")
            self.looks += 1

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert self.wrong == []
        assert self.looks > 0


class Llama:
    """A standing distribution under a name of its own, and its source."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.fleet = stage.fleet
        self.name = f"llama-{next(_numbers)}"
        self.label = f"model={self.name}"
        self.count = 0  # of its nodes
        self.contents: dict[str, dict[str, bytes]] = {}
        self.digests: dict[str, set[str]] = {}

    @property
    def source(self) -> str:
        return f"gs://{BUCKET}/{self.name}/"

    @property
    def base(self) -> str:
        return f"models/{self.name}"

    def put(self, version: str, *, weights: int | None = None) -> None:
        """New generations; the marker comes last. weights: the seed of those, to have the same as before."""
        chance = random.Random(weights if weights is not None else version)
        files = {
            "config.json": b"{}" * 100,
            "weights": chance.randbytes(SIZE),
            "version": version.encode(),
            "DONE": version.encode(),
        }
        self.contents[version] = files
        self.digests.setdefault(version, set()).add(hashlib.sha256(files["weights"]).hexdigest())
        for name, data in files.items():
            self.fleet.gcs.put(BUCKET, f"{self.name}/{name}", data)

    def create(self, **fields: Any) -> None:
        values = {"marker": "DONE", "check_seconds": 1, "destination": self.base, "shard_size": 2**20}
        selector = {"labels": {"model": self.name}}
        body = {"name": self.name, "source": self.source, "nodes": selector, **values, **fields}
        self.fleet.api("POST", "standing/", json=body)

    def post(self, act: str, **body: Any) -> Mapping[str, Any]:
        return self.fleet.api("POST", f"standing/{self.name}/{act}/", json=body)

    def row(self) -> Mapping[str, Any]:
        return self.fleet.api("GET", f"standing/{self.name}/")

    def delete(self, copies: str = "purge") -> None:
        url = f"{self.fleet.web_url}api/v1/standing/{self.name}/?copies={copies}"
        answer = self.fleet.http.delete(url, headers={"Authorization": f"Token {self.fleet.token}"}, timeout=30)
        assert answer.status_code == 204, answer.text

    def agents(self, count: int) -> list[str]:
        names = [f"{self.name}-{number:02d}" for number in range(self.count, self.count + count)]
        self.count += count
        for name in names:
            self.start(name)
            self.stage.started.append(name)
        self.fleet.wait_live(*names)
        return names

    def start(self, name: str, labels: str = "") -> None:
        self.fleet.start_agent(name, NODE, labels or self.label)

    def link(self, node: str) -> Path:
        return self.fleet.data_dir(node) / self.base / "current"

    def target(self, node: str) -> str:
        with contextlib.suppress(OSError):
            return str(self.link(node).readlink())
        return ""

    def wait_version(self, names: list[str], number: int, timeout: float = 60) -> None:
        def there() -> bool:
            return all(self.target(name) == f"versions/{number}" for name in names)

        wait_until(there, timeout, f"{', '.join(names)} to use version {number}")

    def assert_right(self, names: list[str], version: str) -> None:
        """Every file is right through the link."""
        for name in names:
            for file, data in self.contents[version].items():
                assert (self.link(name) / file).read_bytes() == data, (name, file)

    def wait_known(self, names: list[str], number: int) -> None:
        """Wait until the record has every node's word."""

        def known() -> bool:
            rows = self.fleet.api("GET", f"standing/{self.name}/nodes/")["results"]
            return {row["node"]: row["version"] for row in rows} == dict.fromkeys(names, number)

        wait_until(known, 60, f"the record to know {', '.join(names)} on version {number}")

    def watch(self, node: str) -> Watched:
        return Watched(self.link(node), self.digests)


@pytest.fixture
def llama(stage: Stage) -> Iterator[Llama]:
    found = Llama(stage)
    yield found
    with contextlib.suppress(Exception):  # a test may have ended it
        found.delete()


def test_a_standing_distribution_from_its_first_version_to_its_end(llama: Llama) -> None:
    names = llama.agents(2)
    llama.put("one")
    llama.create()
    llama.wait_version(names, 1)
    llama.assert_right(names, "one")
    llama.wait_known(names, 1)
    watched = [llama.watch(name) for name in names]

    (late,) = llama.agents(1)  # a node joins
    llama.wait_version([late], 1)
    llama.assert_right([late], "one")
    names.append(late)

    llama.put("two", weights=1)  # a new generation: all switch
    llama.wait_version(names, 2)
    llama.assert_right(names, "two")
    llama.wait_known(names, 2)
    llama.put("three", weights=1)  # the same weights: they are taken from version 2
    llama.wait_version(names, 3)
    llama.assert_right(names, "three")
    first = llama.link(names[0]).parent / "versions/1"
    wait_until(lambda: not first.exists(), 60, "version 1 to go, as two are kept")
    job = llama.fleet.job(llama.row()["current_job"])
    assert job["bytes_from_gcs"] + job["bytes_from_peers"] < 2 * SIZE  # and not three times, once for each node

    assert llama.post("rollback")["current_version"] == 2
    llama.wait_version(names, 2)
    llama.assert_right(names, "two")
    time.sleep(3)  # of rounds and looks at the source
    llama.wait_version(names, 2, 1)
    assert llama.row()["state"] == "rolled_back"
    llama.post("resume")
    llama.wait_version(names, 3)
    llama.assert_right(names, "three")
    for each in watched:
        each.end()

    leaver = names.pop()  # a node loses the label
    llama.fleet.stop(leaver)
    llama.start(leaver, "model=other")
    gone = llama.fleet.data_dir(leaver) / llama.base
    wait_until(lambda: not gone.exists(), 60, f"{leaver} to drop all of it")
    llama.wait_known(names, 3)
    llama.assert_right(names, "three")

    llama.delete("purge")
    for name in names:
        folder = llama.fleet.data_dir(name) / llama.base
        wait_until(lambda: not folder.exists(), 60, f"{name} to drop all of it")  # noqa: B023


def test_a_loss_of_redis_in_the_middle_of_a_version(llama: Llama) -> None:
    names = llama.agents(3)
    llama.put("one")
    llama.create()
    llama.wait_version(names, 1)
    watched = [llama.watch(name) for name in names]
    llama.put("two")
    wait_until(lambda: llama.row()["newest_version"] == 2, 30, "version 2 to start")
    llama.fleet.redis.flushall()
    llama.wait_version(names, 2)
    llama.assert_right(names, "two")
    llama.fleet.redis.flushall()  # and once more, at rest
    (late,) = llama.agents(1)
    llama.wait_version([late], 2)
    llama.assert_right([*names, late], "two")
    llama.wait_known([*names, late], 2)
    for each in watched:
        each.end()


def test_a_coordinator_that_is_killed_before_the_switch_goes_on_where_it_was(llama: Llama) -> None:
    names = llama.agents(2)
    llama.put("one")
    llama.create()
    llama.wait_version(names, 1)
    watched = [llama.watch(name) for name in names]
    llama.put("two")
    wait_until(lambda: llama.row()["newest_version"] == 2, 30, "version 2 to start")
    llama.fleet.kill("coordinator")
    llama.fleet.stop(names[0])  # and an agent starts while nobody coordinates
    llama.start(names[0])
    llama.fleet.start_coordinator()
    llama.wait_version(names, 2)
    llama.assert_right(names, "two")
    assert llama.row()["newest_version"] == 2
    for each in watched:
        each.end()


def test_a_node_killed_during_the_switch_comes_back_right(llama: Llama) -> None:
    names = llama.agents(3)
    llama.put("one")
    llama.create(share=0.5)
    llama.wait_version(names, 1)
    victim, others = names[0], names[1:]
    watched = [llama.watch(name) for name in names]
    llama.put("two")
    wait_until(lambda: llama.row()["current_version"] == 2, 60, "the word to switch")
    llama.fleet.kill(victim)
    llama.wait_version(others, 2)
    assert llama.target(victim) in ("versions/1", "versions/2")
    llama.assert_right([victim], "one" if llama.target(victim) == "versions/1" else "two")
    llama.put("three")  # it misses one altogether
    llama.wait_version(others, 3)
    llama.start(victim)
    llama.wait_version([victim], 3)
    llama.assert_right(names, "three")
    llama.wait_known(names, 3)
    for each in watched:
        each.end()


def test_a_version_that_one_node_cannot_take_leaves_all_where_they_are_and_says_why(llama: Llama) -> None:
    names = llama.agents(2)
    llama.put("one")
    llama.create()
    llama.wait_version(names, 1)
    in_the_way = llama.link(names[0]).parent / "versions/2"
    in_the_way.write_text("a file, where a folder is to be")
    llama.put("two")

    def told() -> bool:
        rows = llama.fleet.api("GET", f"standing/{llama.name}/nodes/")["results"]
        return any(row["node"] == names[0] and row["why"].startswith("version 2: ") for row in rows)

    wait_until(told, 60, "the reason to be told")
    assert [llama.target(name) for name in names] == ["versions/1"] * 2
    llama.assert_right(names, "one")
    row = llama.row()
    assert (row["current_version"], row["newest_version"], row["state"]) == (1, 2, "failed")
    in_the_way.unlink()
    llama.put("three")  # the way out: a newer one
    llama.wait_version(names, 3)
    llama.assert_right(names, "three")


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_a_node_that_joins_gets_what_the_others_use_though_the_bucket_has_it_no_longer(
    llama: Llama, topology: str
) -> None:
    names = llama.agents(2)
    llama.put("one")
    llama.create(topology=topology)
    llama.wait_version(names, 1)
    llama.post("pause")
    llama.put("two")
    late = llama.agents(2)
    llama.wait_version(late, 1)
    llama.assert_right([*names, *late], "one")
    current = llama.row()["current_job"]
    assert llama.fleet.wait_job(current) == "complete"
    job = llama.fleet.job(current)
    assert job["bytes_from_gcs"] < 1.1 * sum(map(len, llama.contents["one"].values()))
    assert llama.row()["newest_version"] == 1
    llama.post("resume")
    llama.wait_version([*names, *late], 2)
    llama.assert_right([*names, *late], "two")
