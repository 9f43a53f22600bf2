"""The most memory that an agent ever has, for payloads of two sizes: sparse files, moved from one node to another.

The files are on the disk of the usual temporary directory, since room is reserved for all of them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
from pathlib import Path

from fdist_site.local.fleet import LocalFleet, NodeOptions
from fdist_site.local.vitals import peak_memory
from tests.bench.fleet.rig import wait_for
from transfers.dataplane.digest import combine_crc32c, crc32c
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.planning import auto_shard_size
from transfers.scheduler.types import JobSpec

GB = 10**9
SIZES = (1 * GB, 64 * GB)
MOVED = 1 * GB  # after so much the larger job is stopped: every kind of work has been done by then
SPARE = 8 * GB
PIECE = 1024 * 1024
PREPARE_SECONDS = 300.0  # a node that has the file proves it by reading it


def main() -> None:
    print("\n## peak memory of an agent with its shard server\n")
    print("goal: the same within 10%\n")
    root = Path(tempfile.mkdtemp(prefix="fdist-memory-"))
    try:
        free = shutil.disk_usage(root).free
        if free < max(SIZES) + SPARE:
            print(f"skipped: {root} has {free / GB:.0f} GB free, and {(max(SIZES) + SPARE) / GB:.0f} GB are needed")
            return
        print("| payload, sparse | giver, MB | taker, MB |\n| --- | ---: | ---: |")
        for size in SIZES:
            giver, taker = _peak(root / f"{size}", size)
            print(f"| {size / GB:.0f} GB | {giver / 1e6:.1f} | {taker / 1e6:.1f} |", flush=True)
            shutil.rmtree(root / f"{size}")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _peak(root: Path, size: int) -> tuple[int, int]:
    """Bytes for the node that has the files, proves and serves them, and for the one that takes them."""
    names = ("giver", "taker")
    crc = zeros_crc(size)
    layout = Layout(
        (OriginObject("none", "sparse.bin", 1, size, crc),),
        (PayloadFile("sparse.bin", size, crc),),
        auto_shard_size(size, 2),
    )
    job = uuid.uuid4().hex
    with LocalFleet(root, options=NodeOptions(gcs_slots=0)) as fleet:
        fleet.start_stores()
        file = fleet.data_dir("giver") / "sparse" / "sparse.bin"
        file.parent.mkdir(parents=True)
        with file.open("wb") as handle:
            handle.truncate(size)
        fleet.start_agents(*names)
        plan = json.dumps({"v": 1, "job": job, "destination": "sparse", "layout": layout.to_dict()})
        spec = JobSpec(job, "mesh", layout.shard_count, layout.shard_size, size)
        fleet.scheduler.create_job(spec, fleet.signer.sign(plan))
        fleet.scheduler.enrol(job, names)
        wanted = min(MOVED, size) / size * layout.shard_count

        def moved() -> bool:
            fleet.scheduler.reap()
            held = fleet.scheduler.held(job, "taker")
            return sum(byte.bit_count() for byte in held) >= wanted

        wait_for(moved, f"{MOVED / GB:.0f} GB to be moved", PREPARE_SECONDS)
        time.sleep(1)
        peaks = [peak_memory(fleet.group.processes[name].pid) for name in names]
        return peaks[0], peaks[1]


def zeros_crc(size: int) -> int:
    """The CRC-32C of so many zero bytes, without looking at them all."""
    whole, crc, length = 0, crc32c(bytes(PIECE)), PIECE
    rest = crc32c(bytes(size % PIECE))
    pieces = size // PIECE
    done = 0
    while pieces:  # squaring: the sum of twice as many zeros from that of half of them
        if pieces & 1:
            whole = combine_crc32c(whole, crc, length) if done else crc
            done += length
        crc, length = combine_crc32c(crc, crc, length), length * 2
        pieces >>= 1
    return combine_crc32c(whole, rest, size % PIECE) if done else rest
