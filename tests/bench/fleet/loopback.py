"""Over the loopback, in memory: what a byte costs the processor, and how fast one agent takes bytes in."""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from fdist_site.local.fleet import NodeOptions
from tests.bench.fleet import plain, torrent
from tests.bench.fleet.namespaces import Namespaces
from tests.bench.fleet.ours import BUCKET, DoneTimes, Ours
from tests.bench.fleet.rig import Rig, cpu_seconds, memory_directory, wait_for
from tests.bench.fleet.scenario import Scenario

NODES, SIZE = 4, 1000 * 10**6
INTAKE_RUNS = 3
UNSHAPED = 10**11  # bit/s, for a bound that says nothing


class Loopback(Namespaces):
    """Hosts without a network of their own: addresses of the loopback interface."""

    def __init__(self, hosts: int) -> None:
        super().__init__("loop", hosts, 0)

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        return

    @property
    def bridge_address(self) -> str:
        return "127.0.0.1"

    def address(self, host: int) -> str:
        return f"127.0.1.{host + 1}"

    def prefix(self, host: int) -> list[str]:
        return []

    def set_rate(self, host: int, rate: int) -> None:
        return

    def received(self, host: int) -> int:
        return 0

    def sent(self, host: int) -> int:
        return 0


def main() -> None:
    print("\n## no shaping, loopback, in memory\n")
    print("goal: CPU below libtorrent's and <= 1.5 times nginx + curl + sha256sum; intake >= 0.8 of curl's\n")
    with memory_directory("fdist-loop-") as root, Rig(root, NODES, SIZE, Loopback(NODES + 1)) as rig:
        rig.share = 1.0
        _cpu(rig)
    with memory_directory("fdist-loop-") as root, Rig(root, 2, SIZE, Loopback(3)) as rig:
        rig.share = 1.0
        _intake(rig)


def _cpu(rig: Rig) -> None:
    scenario = Scenario("loopback", NODES, SIZE, UNSHAPED, UNSHAPED)
    print("| method | CPU s / GB delivered, of the nodes | seconds | beside |\n| --- | ---: | ---: | --- |")
    if why := plain.missing("nginx", "curl"):
        print(f"| nginx + curl + sha256sum | skipped: {why} | | |")
    else:
        _say("nginx + curl + sha256sum", *_download(rig))
    if why := torrent.why_not():
        print(f"| {torrent.METHOD} | skipped: {why} | | |")
    else:
        for piece in (64 * 1024, 1024 * 1024):
            done = torrent.run(rig, scenario, piece)
            _say(f"{torrent.METHOD}, pieces of {piece // 1024} KiB", done.cpu, done.last(scenario.judged), done.notes)
    with Ours(rig, NodeOptions()) as ours:
        for topology in ("mesh", "pipeline"):
            done = ours.run(scenario, topology)
            _say(done.method, done.cpu, done.last(scenario.judged), done.notes)


def _say(method: str, cpu: float, seconds: float, beside: str) -> None:
    print(f"| {method} | {cpu / (NODES * SIZE / 1e9):.2f} | {seconds:.1f} | {beside} |", flush=True)


def _download(rig: Rig) -> tuple[float, float, str]:
    """CPU of curl, sha256sum and nginx, seconds, and nginx's part."""
    address = rig.net.address(rig.origin)
    with rig.folders("download") as folders, ExitStack() as stack:
        server = plain.start_nginx(rig.group, rig.root, rig.payload, address)
        stack.callback(rig.group.stop, "nginx")
        served, before, begun = cpu_seconds(server), _children(), time.monotonic()
        nodes = []
        for folder in folders:
            line = " ".join(plain.curl(rig.files, address, folder))
            nodes.append(subprocess.Popen(["sh", "-c", f"{line} && sha256sum {folder}/* > {folder}/sums"]))
        for process in nodes:
            process.wait()
        seconds = time.monotonic() - begun
        served = cpu_seconds(server) - served
        per_gb = served / (NODES * SIZE / 1e9)
        return _children() - before + served, seconds, f"of which nginx {per_gb:.2f}"


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _intake(rig: Rig) -> None:
    """One node has the files already; the other takes them from it, and may not read the bucket."""
    print("\n| intake | MB/s, median | runs |\n| --- | ---: | --- |")
    theirs = [] if plain.missing("nginx", "curl") else [_curl_rate(rig) for _ in range(INTAKE_RUNS)]
    if theirs:
        _rates("curl from nginx", theirs)
    with Ours(rig, NodeOptions(gcs_slots=0)) as ours:
        mine = [_agent_rate(ours) for _ in range(INTAKE_RUNS)]
        _rates("an agent from another", mine)
    if theirs:
        print(f"\nratio of the medians: {statistics.median(mine) / statistics.median(theirs):.2f}", flush=True)


def _rates(what: str, rates: list[float]) -> None:
    shown = ", ".join(f"{rate / 1e6:.0f}" for rate in rates)
    print(f"| {what} | {statistics.median(rates) / 1e6:.0f} | {shown} |", flush=True)


def _curl_rate(rig: Rig) -> float:
    address = rig.net.address(rig.origin)
    with rig.folders("download") as folders:
        plain.start_nginx(rig.group, rig.root, rig.payload, address)
        try:
            begun = time.monotonic()
            subprocess.run(plain.curl(rig.files, address, folders[0]), check=True)
            return rig.size / (time.monotonic() - begun)
        finally:
            rig.group.stop("nginx")


def _agent_rate(ours: Ours) -> float:
    """From the first transfer's start to the last one's end, by the scheduler's events."""
    fleet, (giver, taker) = ours.fleet, ours.names
    there: Path = fleet.data_dir(giver) / "mesh"
    there.mkdir(parents=True, exist_ok=True)
    for path in ours.rig.files:
        shutil.copyfile(path, there / path.name)
    job = fleet.submit(f"gs://{BUCKET}/payload/", "mesh", destination="mesh")
    times = DoneTimes(fleet.scheduler, "0")
    wait_for(lambda: {giver, taker} <= set(times.read(job)), "both nodes to be done")
    begun, ended, cursor = float("inf"), 0.0, "0"
    while events := fleet.scheduler.events(cursor, count=5000):
        for event in events:
            if event.kind == "done" and event.fields.get("job") == job:
                begun, ended = min(begun, event.at - int(event.fields["ms"])), max(ended, event.at)
        cursor = events[-1].cursor
    ours.clear(job, "mesh")
    return ours.rig.size / (ended - begun) * 1000
