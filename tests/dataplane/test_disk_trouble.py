"""A disk that is full, or will not be written: said at once, with the numbers, and nothing half done is left."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from transfers.dataplane.disk import disk_errors
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.dataplane.store import JobStore, Store
from transfers.errors import DiskFull, StoreError

from .payloads import JOB, Payload, mixed_payload

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MiB, where mounting is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def mount(*arguments: str) -> bool:
    return os.geteuid() == 0 and subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


def layout_of(size: int, files: int = 1, shard_size: int = MIB) -> Layout:
    each = size // files
    return Layout(
        tuple(OriginObject("b", f"f{i}", 1, each) for i in range(files)),
        tuple(PayloadFile(f"f{i}", each) for i in range(files)),
        shard_size,
    )


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size`: the nearest to a full disk that needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_job_that_does_not_fit_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    store = JobStore(tmp_path, JOB, layout_of(1 << 50, shard_size=1 << 40), "")
    with pytest.raises(DiskFull, match=r"has [\d.]+ GB free and job \w+ needs 1125899\.9 GB"):
        store.prepare()
    assert not list((tmp_path / ".fdist/jobs" / JOB / "parts").iterdir())


def test_room_is_reserved_for_all_files_or_for_none(small_disk: Path) -> None:
    Store(small_disk)
    with pytest.raises(DiskFull, match=r"needs 120\.0 MB|needs 0\.1 GB"):
        JobStore(small_disk, JOB, layout_of(120_000_000, files=3), "").prepare()
    parts = small_disk / ".fdist/jobs" / JOB / "parts"
    assert not list(parts.iterdir())
    assert Store(small_disk).free() < 40 * MIB
    JobStore(small_disk, "a" * 32, layout_of(20 * MIB, files=4), "").prepare()
    with pytest.raises(DiskFull):
        JobStore(small_disk, "b" * 32, layout_of(20 * MIB, files=4), "").prepare()


def test_a_size_limit_at_the_start_leaves_no_parts(tmp_path: Path) -> None:
    store = JobStore(tmp_path, JOB, layout_of(8 * MIB, files=2), "")
    with largest_file(MIB), pytest.raises(DiskFull, match="free some space"):
        store.prepare()
    assert not list((tmp_path / ".fdist/jobs" / JOB / "parts").iterdir())
    store.prepare()
    assert store.received(0) == 0


def test_a_disk_that_fills_under_a_transfer_is_full_and_the_transfer_can_go_on(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    writer = store.writer(2)
    with largest_file(150_000), pytest.raises(DiskFull, match="write shard 2 of job"):
        writer.write(payload.shard(2))
    writer.abort()
    store = payload.store(tmp_path)
    assert store.reverify() == {}
    payload.fill(store)
    assert store.finish_files() == []


def test_a_disk_that_others_fill_meanwhile_ends_the_transfer_and_it_goes_on_when_there_is_room(
    small_disk: Path,
) -> None:
    """In memory files are made with holes, so that what was there at the start may be gone."""
    payload = Payload({"a": 8 * MIB, "b": 300_000}, MIB)
    store = payload.store(small_disk)
    payload.fill(store, 0)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MIB))
    writer = store.writer(1)
    with pytest.raises(DiskFull, match="write shard 1 of job"):
        writer.write(payload.shard(1))
    writer.abort()
    filler.unlink()
    again = payload.store(small_disk)
    assert again.reverify() == {0: payload.digest(0)}
    writer = again.writer(1, again.received(1))
    writer.write(payload.shard(1)[again.received(1) :])
    again.mark_verified(1, writer.finish())
    payload.fill(again, *range(2, payload.layout.shard_count))
    assert again.finish_files() == []
    payload.check_placed(small_disk / "models/m")


def test_a_data_directory_that_cannot_be_written_says_so(small_disk: Path) -> None:
    Store(small_disk)
    assert mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(StoreError, match="read-only"):
        Store(small_disk)
    with pytest.raises(StoreError, match="read-only"):
        mixed_payload().store(small_disk)


def test_a_destination_on_another_disk_is_refused_with_its_path_and_works_once_it_is_not(small_disk: Path) -> None:
    payload = mixed_payload()
    store = payload.store(small_disk)
    payload.fill(store)
    other = small_disk / "models/m"
    other.mkdir(parents=True)
    assert mount("-t", "tmpfs", "tmpfs", str(other))
    with pytest.raises(StoreError, match="place the files of job"):
        store.finish_files()
    assert not list(other.glob("*.bin"))
    with pytest.raises(StoreError, match="on another disk"):
        payload.store(small_disk, job="d" * 32)
    subprocess.run(["umount", str(other)], check=True)
    assert store.finish_files() == []
    payload.check_placed(other)


def test_a_file_where_the_data_directory_should_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(StoreError, match="data directory"):
        Store(tmp_path / "data")


def test_every_other_error_of_the_disk_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Is a directory"), disk_errors(tmp_path, "try it"):
        os.open(tmp_path, os.O_WRONLY)


_RECEIVER = """
import resource, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests"]
from pathlib import Path
from dataplane.nodes import fetch
from transfers.dataplane.peer import PeerClient
from transfers.dataplane.store import Store
store = Store(Path(sys.argv[2])).open(sys.argv[3])
store.prepare()
client = PeerClient()
for shard in range(store.layout.shard_count):
    store.mark_verified(shard, fetch(client, int(sys.argv[4]), store, shard))
store.reverify()
assert store.finish_files() == []
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_size_of_the_file(tmp_path: Path) -> None:
    """Peak memory of a receiving process, for 4 MiB and for 256 MiB."""
    from .nodes import serving

    peaks = []
    for index, size in enumerate((4 * MIB, 256 * MIB)):
        job = f"{index:032x}"
        layout = Layout((OriginObject("b", "f", 1, size),), (PayloadFile("f", size),), min(size, 64 * MIB))
        source = JobStore(tmp_path / "a", job, layout, "out")
        source.prepare()
        for shard in range(layout.shard_count):
            writer = source.writer(shard)
            while writer.remaining:
                writer.write(writer.buffer[: writer.remaining])
            source.mark_verified(shard, writer.finish())
        there = JobStore(tmp_path / f"b{index}", job, layout, "out")
        there.folder.save()
        with serving(tmp_path / "a") as server:
            arguments = [str(ROOT), str(tmp_path / f"b{index}"), job, str(server.port)]
            done = subprocess.run([sys.executable, "-c", _RECEIVER, *arguments], check=True, capture_output=True)
        peaks.append(int(done.stdout))
        source.discard()
    assert peaks[1] < peaks[0] * 1.1
