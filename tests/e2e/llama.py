"""A standing distribution between real processes, and who reads through its links all the time."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fdist_site.local.fleet import LocalFleet, NodeOptions
from fdist_site.local.processes import wait_until

BUCKET = "standing"
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

    def __init__(self, fleet: LocalFleet, name: str = "") -> None:
        self.fleet = fleet
        self.name = name or f"llama-{next(_numbers)}"
        self.label = f"model={self.name}"
        self.started: list[str] = []
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
            self.started.append(name)
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

    def wait_right(self, names: list[str], number: int, version: str) -> None:
        """Wait until these nodes use a version, and look at every byte of it."""
        self.wait_version(names, number)
        self.assert_right(names, version)

    def relabel(self, node: str, labels: str = "model=other") -> None:
        self.fleet.stop(node)
        self.start(node, labels)

    def wait_dropped(self, node: str) -> None:
        folder = self.fleet.data_dir(node) / self.base
        wait_until(lambda: not folder.exists(), 60, f"{node} to drop all of it")

    def stand(self, count: int, **fields: Any) -> list[str]:
        """So many nodes with version 1 in use; gives their names."""
        names = self.agents(count)
        self.put("one")
        self.create(**fields)
        self.wait_version(names, 1)
        return names

    def watch(self, names: list[str]) -> list[Watched]:
        return [Watched(self.link(name), self.digests) for name in names]
