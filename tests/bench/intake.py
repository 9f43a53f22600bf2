"""Where the processor time goes when one node reads from another at full rate.

python -m tests.bench.intake --dir /dev/shm: a process with the data plane of an agent reads shards from a shard server
over loopback, again and again. Prints the rate and the processor time a GB; with Linux's `perf`, also the share of the
kernel and of libraries, and the functions that took most.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.verify import SHARD, made
from tests.dataplane.nodes import KEY, fetch
from transfers.dataplane.peer import PeerClient
from transfers.dataplane.store import JobStore, Store

SHARDS = 8


def read_for(seconds: float, there: JobStore, client: PeerClient, port: int) -> str:
    """The rate, and what it cost this process."""
    before, began, moved = resource.getrusage(resource.RUSAGE_SELF), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        shard = moved // SHARD % SHARDS
        if shard in there.verified:
            there.drop(shard)
        there.mark_verified(shard, fetch(client, port, there, shard))
        moved += SHARD
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    cost = ", ".join(f"{spent / moved * 1e9:.3f} {where}" for spent, where in ((user, "user"), (system, "kernel")))
    return f"{moved / took / 1e9:.2f} GB/s; CPU seconds a GB: {cost}"


def profile(pid: int, seconds: float, to: Path) -> subprocess.Popen[bytes] | None:
    if shutil.which("perf") is None:
        return None
    return subprocess.Popen(["perf", "record", "-q", "-F", "499", "-o", to, "-p", str(pid), "sleep", str(seconds)])


def report(title: str, data: Path) -> None:
    for by, lines in (("dso", 4), ("symbol", 8)):
        command = ["perf", "report", "-i", data, "--sort", by, "--stdio"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        shown = [
            [word for word in line.split() if word != "-"]
            for line in out.splitlines()
            if line.strip() and not line.startswith("#")
        ]
        print(f"{title}, by {by}: " + ", ".join(f"{' '.join(words[1:])} {words[0]}" for words in shown[:lines]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where to work; a tmpfs keeps the disk out of it")
    parser.add_argument("--seconds", type=float, default=5.0, help="(default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        source = made(Path(folder) / "a", SHARDS * SHARD)
        there = Store(Path(folder) / "b", "off").create(source.job, source.layout, "files")
        there.prepare()
        command = [sys.executable, "-m", "transfers.dataplane.server", "--data-dir", str(Path(folder) / "a")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin is not None and server.stdout is not None
            server.stdin.write(f"{KEY}\n")
            server.stdin.flush()
            port = int(server.stdout.readline().split()[1])
            taken = {"reader": os.getpid(), "shard server": server.pid}
            perfs = {name: profile(pid, options.seconds, Path(folder) / name) for name, pid in taken.items()}
            print(read_for(options.seconds, there, PeerClient(), port))
            for name, perf in perfs.items():
                if perf is not None:
                    perf.wait()
                    report(name, Path(folder) / name)
            server.stdin.close()


if __name__ == "__main__":
    main()
