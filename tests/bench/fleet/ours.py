"""fdist in the fleet: Redis and coordinator beside the bridge, the bucket and each agent behind links of their own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import statistics
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from fdist_site.local.fleet import LocalFleet, NodeOptions
from fdist_site.local.processes import LocalError, wait_until
from tests.bench.fleet.namespaces import Namespaces
from tests.bench.fleet.rig import PIECE, Rig, cpu_seconds, wait_for
from tests.bench.fleet.scenario import Result, Scenario
from tests.bench.fleet.watch import Watch
from transfers.scheduler import Scheduler

BUCKET = "models"
HANDOVERS = re.compile(
    r"handovers=(?P<count>\d+) gap_p50_ms=(?P<p50>[\d.]+) gap_p99_ms=(?P<p99>[\d.]+) "
    r"gap_max_ms=(?P<max>[\d.]+) node_p50_ms=(?P<node>[\d.]+) node_p99_ms=(?P<node_p99>[\d.]+) waits=(?P<waits>\d+)"
)


class ShapedFleet(LocalFleet):
    """A LocalFleet whose agents and bucket are spread over the hosts of `net`."""

    def __init__(self, root: Path, net: Namespaces, origin: int, options: NodeOptions) -> None:
        self.net = net
        self.origin = origin
        super().__init__(root, options=options)

    def host(self, name: str) -> str:
        number = self._number(name)
        if name == "redis":
            return self.net.bridge_address
        return super().host(name) if number is None else self.net.address(number)

    def prefix(self, name: str) -> list[str]:
        number = self._number(name)
        return [] if number is None else self.net.prefix(number)

    def _number(self, name: str) -> int | None:
        if name == "gcs":
            return self.origin
        return int(name.removeprefix("node-")) if name.startswith("node-") else None


class Ours:
    """A fleet that stays up for several runs; use as a context manager."""

    def __init__(self, rig: Rig, options: NodeOptions, trace: Path | None = None) -> None:
        self.rig = rig
        self.trace = trace
        self.fleet = ShapedFleet(rig.root / "ours", rig.net, rig.origin, options)
        self.names = [f"node-{node:02d}" for node in range(rig.nodes)]
        self._digests: dict[str, str] = {}
        self._runs = 0

    def __enter__(self) -> Ours:
        self.rig.net.set_rates({}, 0)
        self.fleet.start()
        put_files(self.fleet, self.rig.files, "payload")
        self.fleet.start_agents(*self.names)
        for path in self.rig.files:
            self._digests[path.name] = sha256(path)
        return self

    def __exit__(self, *_: object) -> None:
        self.fleet.close()

    def run(self, scenario: Scenario, topology: str, **options: Any) -> Result:
        """One job from its creation until every node's files are whole and in place, compared by sha256."""
        rig, fleet = self.rig, self.fleet
        self._restart_lost()
        rig.shape(scenario)
        victim = self.names[-1]
        faults = {"": None, "kill": lambda: fleet.kill(victim), "cut": lambda: rig.net.cut(scenario.nodes - 1)}
        wire = scenario.size * scenario.nodes / rig.share
        pids = {name: fleet.group.processes[name].pid for name in self.names}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        helpers = {name: process.pid for name, process in fleet.group.processes.items() if name not in pids}
        helped = {name: cpu_seconds(pid) for name, pid in helpers.items()}
        sent = rig.net.sent(rig.origin)
        with Watch(rig.net, list(range(scenario.nodes)), wire, scenario.rate, faults[scenario.fault]) as watch:
            job = fleet.submit(f"gs://{BUCKET}/payload/", topology, destination=topology, **options)
            judged = {self.names[node] for node in scenario.judged}
            times = DoneTimes(fleet.scheduler, "0")
            wait_for(lambda: judged <= set(times.read(job)), f"{len(judged)} nodes to be done")
        if self.trace is not None:
            self._write_trace(job, scenario, topology)
        cpu = sum(cpu_seconds(pid) - before[name] for name, pid in pids.items())
        copies = (rig.net.sent(rig.origin) - sent) / scenario.size
        done = times.read(job)
        seconds = {node: done[name] for node, name in enumerate(self.names) if name in done}
        self._compare(judged, topology)
        notes = [
            f"{view.bytes_gcs / view.size:.3f} copies by the scheduler" if (view := fleet.scheduler.job(job)) else ""
        ]
        notes.append(self.gaps(job))
        notes.append(watch.use())
        spent = ", ".join(f"{name} {cpu_seconds(pid) - helped[name]:.1f}" for name, pid in helpers.items())
        notes.append(f"CPU s in all of {spent}")
        if scenario.fault == "cut":
            rig.net.join(scenario.nodes - 1)
        self.clear(job, topology)
        return Result(f"fdist {topology}", seconds, copies, cpu, watch.longest_pause, "; ".join(filter(None, notes)))

    def _write_trace(self, job: str, scenario: Scenario, topology: str) -> None:
        """The job's events, a line each: [ms since its creation, kind, fields]."""
        assert self.trace is not None
        self.trace.mkdir(parents=True, exist_ok=True)
        self._runs += 1
        rows, cursor, created = [], "0", 0
        while events := self.fleet.scheduler.events(cursor, count=5000):
            for event in events:
                if event.fields.get("job") == job:
                    created = created or event.at
                    rows.append(json.dumps([event.at - created, event.kind, dict(event.fields)]))
            cursor = events[-1].cursor
        (self.trace / f"{self._runs:02d}-{topology}-{scenario.nodes}.jsonl").write_text("\n".join(rows) + "\n")

    def gaps(self, job: str) -> str:
        """The hand-overs that the agents traced, over all of them."""
        found = [found for name in self.names for found in handovers(self.fleet.group.log_dir / f"{name}.log", job)]
        if not found:
            return ""
        p50, p99, node, node_p99 = (
            statistics.median(float(each[which]) for each in found) for which in ("p50", "p99", "node", "node_p99")
        )
        count = sum(int(each["count"]) for each in found)
        waits = sum(int(each["waits"]) for each in found)
        return (
            f"gaps of a node p50 {node:.2f} ms, p99 {node_p99:.1f}, of a lane {p50:.2f} and {p99:.1f} ms of {count}, "
            f"and {waits} waits"
        )

    def _compare(self, names: set[str], topology: str) -> None:
        def check(name: str) -> None:
            for path in self.rig.files:
                if sha256(self.fleet.data_dir(name) / topology / path.name) != self._digests[path.name]:
                    raise RuntimeError(f"{path.name} on {name} is not what is in the bucket")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(check, sorted(names)))

    def clear(self, job: str, topology: str) -> None:
        """Purge the job, so that the next run starts from nothing."""
        if self.fleet.job(job)["state"] not in ("complete", "failed", "cancelled"):
            with suppress(LocalError):  # it may have become complete just now; what follows waits for an end
                self.fleet.api("POST", f"jobs/{job}/cancel/")
            self.fleet.wait_job(job)
        self.rig.net.set_rates({}, 0)
        self.fleet.wait_job(job)
        self.fleet.api("POST", f"jobs/{job}/purge/")
        live = [name for name in self.names if name in self.fleet.group.processes]
        folders = [self.fleet.data_dir(name) for name in live]
        wait_until(lambda: not any(_has_payload(f / topology) for f in folders), 60, "the purge")

    def _restart_lost(self) -> None:
        """Start again what a fault of the last run ended."""
        lost = [name for name in self.names if name not in self.fleet.group.processes]
        for name in lost:
            shutil.rmtree(self.fleet.data_dir(name))
        self.fleet.start_agents(*lost)
        self.fleet.wait_live(*self.names)


def put_files(fleet: LocalFleet, files: list[Path], prefix: str) -> None:
    """Files into the bucket, as gs://models/<prefix>/<name>."""
    fleet.gcs.make_bucket(BUCKET)
    for path in files:
        with path.open("rb") as file:
            pieces = iter(lambda file=file: file.read(PIECE), b"")  # type: ignore[misc]
            fleet.gcs.put_stream(BUCKET, f"{prefix}/{path.name}", path.stat().st_size, pieces)


class DoneTimes:
    """When each node had a job's files in place: seconds from the job's creation, by the scheduler's clock.

    Follows the scheduler's events from `cursor` on, so that asking again costs little.
    """

    def __init__(self, scheduler: Scheduler, cursor: str) -> None:
        self.seconds: dict[str, float] = {}
        self._scheduler = scheduler
        self._cursor = cursor
        self._created = 0

    def read(self, job: str) -> dict[str, float]:
        while events := self._scheduler.events(self._cursor, count=5000):
            for event in events:
                if event.fields.get("job") != job:
                    continue
                if event.kind == "job_created":
                    self._created = self._created or event.at
                elif event.kind == "node_done":
                    self.seconds[event.fields["node"]] = (event.at - self._created) / 1000
            self._cursor = events[-1].cursor
        return self.seconds


def handovers(log: Path, job: str) -> list[Mapping[str, str]]:
    """The lines of an agent's log that sum up its hand-overs of a job."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if "job handovers" in line and job in line]
    return [match.groupdict() for line in lines if (match := HANDOVERS.search(line))]


def _has_payload(folder: Path) -> bool:
    """Whether any of the payload's files is there; `os.walk` does not mind folders that are being deleted."""
    return any(name.endswith(".bin") for _, _, names in os.walk(folder) for name in names)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
