"""How fast a finished job is checked again, beside cat and sha256sum: python -m tests.bench.verify --gb 2 --dir /data

Prints a table in Markdown. cold: the files have been dropped from memory before, so that the disk is what is measured.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from transfers.dataplane.digest import crc32c
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.dataplane.store import JobStore, Store

JOB = "0" * 32
SHARD = 64 << 20
FILE = 512 << 20


def made(data_dir: Path, size: int) -> JobStore:
    """A finished job of so many bytes, in files of 512 MiB."""
    block = random.Random(1).randbytes(1 << 20)
    sizes = [min(FILE, size - at) for at in range(0, size, FILE)]
    sums = {each: _sum(block, each) for each in set(sizes)}
    layout = Layout(
        tuple(OriginObject("b", f"f{n}", 1, each, sums[each]) for n, each in enumerate(sizes)),
        tuple(PayloadFile(f"f{n}", each, sums[each]) for n, each in enumerate(sizes)),
        SHARD,
    )
    store = Store(data_dir).create(JOB, layout, "files")
    store.prepare()
    for shard in range(layout.shard_count):
        writer = store.writer(shard)
        while writer.remaining:
            writer.write(block[: writer.remaining])
        store.mark_verified(shard, writer.finish())
    assert store.finish_files() == []
    return store


def _sum(block: bytes, size: int) -> int:
    value = 0
    for at in range(0, size, len(block)):
        value = crc32c(block[: size - at], value)
    return value


def forget(folder: Path) -> None:
    """Out of the page cache with them."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def best(work: Callable[[], object], before: Callable[[], object], runs: int) -> float:
    seconds = []
    for _ in range(runs):
        before()
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0, help="size of the job (default 2)")
    parser.add_argument(
        "--dir", type=Path, help="where to put it: the disk that is measured (default: a temporary one)"
    )
    parser.add_argument("--runs", type=int, default=3, help="the best of so many counts (default 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        data_dir = Path(folder)
        store = made(data_dir, int(options.gb * 1e9))
        files = data_dir / "files"
        names = sorted(str(path) for path in files.iterdir())

        def verify() -> None:
            assert len(store.reverify()) == store.layout.shard_count

        def run(*command: str) -> Callable[[], object]:
            return lambda: subprocess.run([*command, *names], check=True, stdout=subprocess.DEVNULL)

        print(f"| {options.gb:g} GB, best of {options.runs} | warm, GB/s | cold, GB/s |\n| --- | ---: | ---: |")
        for name, work in (("verify", verify), ("cat", run("cat")), ("sha256sum", run("sha256sum"))):
            rates = [options.gb / best(work, before, options.runs) for before in (lambda: None, lambda: forget(files))]
            print(f"| {name} | {rates[0]:.2f} | {rates[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
