"""What TLS between nodes costs: python -m tests.bench.tls --size 2GB

A shard server and a reader on the loopback interface, with files in memory, so that neither a disk nor a network card
is what is measured. Prints a table in Markdown: CPU seconds for each GB sent and received, and the rate of one
connection.
"""

from __future__ import annotations

import argparse
import base64
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.dataplane.nodes import KEY, READER, ticket_for
from transfers.dataplane.digest import crc32c
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.dataplane.peer import PeerClient
from transfers.dataplane.store import JobStore
from transfers.dataplane.tls import Identity, make_identity
from transfers.words import parse_size

PROJECT = Path(__file__).resolve().parents[2]
JOB = "0123456789abcdef0123456789abcdef"
SHARD = 64 * 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def make_source(folder: Path, shards: int) -> tuple[Layout, JobStore]:
    data = os.urandom(SHARD)
    files = tuple(PayloadFile(f"{number}.bin", SHARD, crc32c(data)) for number in range(shards))
    layout = Layout(tuple(OriginObject("b", file.name, 1, SHARD, file.crc32c) for file in files), files, SHARD)
    store = JobStore(folder, JOB, layout, "m")
    store.prepare()
    for shard in range(shards):
        writer = store.writer(shard)
        writer.write(data)
        store.mark_verified(shard, writer.finish())
    return layout, store


def measure(root: Path, layout: Layout, identity: Identity | None) -> tuple[float, float, float]:
    """CPU seconds a GB of the server and of the reader, and GB a second."""
    command = [sys.executable, "-m", "transfers.dataplane.server", "--data-dir", str(root / "a")]
    command += ["--tls"] if identity else []
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert server.stdin and server.stdout
    lines = [KEY] + ([base64.b64encode(identity.pem.encode()).decode()] if identity else [])
    server.stdin.write("".join(f"{line}\n" for line in lines))
    server.stdin.flush()
    address = f"127.0.0.1:{server.stdout.readline().split()[1]}" + (f"#{identity.pin}" if identity else "")
    store = JobStore(root / "b", JOB, layout, "m")
    store.prepare()
    client = PeerClient()
    try:
        begun, theirs, ours = time.monotonic(), cpu_of(server.pid), own_cpu()
        for shard in range(layout.shard_count):
            writer = store.writer(shard)
            client.read_shard(address, JOB, shard, ticket_for(shard, JOB), READER, writer)
            store.mark_verified(shard, writer.finish())
        seconds, theirs, ours = time.monotonic() - begun, cpu_of(server.pid) - theirs, own_cpu() - ours
    finally:
        server.stdin.close()
        server.wait(10)
        shutil.rmtree(root / "b")
        (root / "b").mkdir()
    size = layout.size / 1e9
    return theirs / size, ours / size, size / seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tls", description=__doc__)
    parser.add_argument("--size", default="1GB", help="how much is sent in each run (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, of which the median counts")
    options = parser.parse_args()
    shards = max(1, (parse_size(options.size) or 0) // SHARD)
    memory = Path("/dev/shm")  # noqa: S108  (where files are in memory)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        root = Path(folder)
        for name in "ab":
            (root / name).mkdir()
        layout, _ = make_source(root / "a", shards)
        identity = make_identity("bench")
        runs: dict[str, list[tuple[float, float, float]]] = {"plain": [], "TLS": []}
        for _ in range(options.repeat):  # in turns: what else the machine does falls on both
            runs["plain"].append(measure(root, layout, None))
            runs["TLS"].append(measure(root, layout, identity))
    print(f"{layout.size / 1e9:.2f} GB a run, {options.repeat} runs of each, medians")
    print()
    print("| | sender, CPU s / GB | reader, CPU s / GB | one connection, GB/s |")
    print("| --- | --- | --- | --- |")
    for name, found in runs.items():
        sender, reader, rate = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"| {name} | {sender:.2f} | {reader:.2f} | {rate:.2f} |")


if __name__ == "__main__":
    main()
