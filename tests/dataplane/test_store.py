"""Bytes find their files, survive restarts only when they are right, and files appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from transfers.dataplane.layout import Layout
from transfers.dataplane.store import JobStore, Store
from transfers.errors import Cancelled, CorruptShard, NoSuchJob, PlanError, StoreError

from .payloads import JOB, mixed_payload


def test_shards_written_in_any_order_become_the_files(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store, *reversed(range(payload.layout.shard_count)))
    assert store.complete and not store.placed
    assert store.finish_files() == []
    assert store.placed
    payload.check_placed(tmp_path / "models/m")
    assert stat.S_IMODE((tmp_path / "models/m/big-0.bin").stat().st_mode) == 0o644
    assert store.finish_files() == []


def test_no_file_is_at_its_destination_before_it_is_whole(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store, *range(payload.layout.shard_count - 1))
    store.finish_files()
    placed = {p.name for p in (tmp_path / "models/m").rglob("*") if p.is_file()}
    waiting = {store.layout.files[f].name for f in range(len(payload.data)) if not store.state.is_placed(f)}
    assert placed and waiting and not placed & {Path(w).name for w in waiting}
    payload.fill(store, payload.layout.shard_count - 1)
    store.finish_files()
    payload.check_placed(tmp_path / "models/m")


def test_small_writes_that_end_anywhere_give_the_same_digest(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    last = payload.layout.shard_count - 1
    writer = store.writer(last)
    data = payload.shard(last)
    for start in range(0, len(data), 777):
        writer.write(data[start : start + 777])
        assert store.received(last) == writer.received == min(start + 777, len(data))
    assert writer.finish() == payload.digest(last)


def test_bytes_are_not_verified_until_their_digest_agrees(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    writer = store.writer(0)
    writer.write(payload.shard(0)[:-1] + b"?")
    crc = writer.finish()
    assert crc != payload.digest(0)
    with pytest.raises(CorruptShard, match=f"{payload.digest(0):08x}"):
        store.mark_verified(0, payload.digest(0))
    assert store.verified == frozenset()
    store.drop(0)
    payload.fill(store, 0)
    assert store.held() == {0: payload.digest(0)}


def test_a_shard_has_one_writer_and_a_verified_one_has_none(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    writer = store.writer(1)
    with pytest.raises(StoreError, match="being written already"):
        store.writer(1)
    writer.abort()
    payload.fill(store, 1)
    with pytest.raises(StoreError, match="verified"):
        store.writer(1)


def test_more_bytes_than_a_shard_has_are_refused(tmp_path: Path) -> None:
    payload = mixed_payload()
    writer = payload.store(tmp_path).writer(0)
    with pytest.raises(StoreError, match="64001 were given"):
        writer.write(bytes(64_001))
    with pytest.raises(StoreError, match="lacks"):
        writer.finish()


def test_a_stopped_transfer_goes_on_where_it_was_also_in_another_process(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    writer = store.writer(4)
    writer.write(payload.shard(4)[:50_001])
    writer.abort()
    assert store.received(4) == 50_001
    again = payload.store(tmp_path)
    assert again.reverify() == {}
    assert again.received(4) == 50_001
    writer = again.writer(4, 50_001)
    writer.write(payload.shard(4)[50_001:])
    assert writer.finish() == payload.digest(4)


def test_a_stopped_transfer_that_is_not_to_be_kept_leaves_nothing(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    for taint in (False, True):
        writer = store.writer(0)
        writer.write(payload.shard(0)[:10])
        if taint:
            writer.taint()
        epoch = store.state.epoch(0)
        writer.abort(keep=taint)
        assert store.received(0) == 0
        assert store.state.epoch(0) != epoch


def test_a_restart_proves_what_it_has_and_drops_what_changed(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store, 0, 1, 2, 5)
    partial = store.writer(3)
    partial.write(payload.shard(3)[:1000])
    partial.abort()
    flip(tmp_path / ".fdist/jobs" / JOB / "parts/0", 64_000 + 5)
    flip(tmp_path / ".fdist/jobs" / JOB / "parts/0", 3 * 64_000 + 5)
    again = payload.store(tmp_path)
    assert again.verified == {0, 1, 2, 5}
    assert again.reverify() == {i: payload.digest(i) for i in (0, 2, 5)}
    assert again.verified == {0, 2, 5}
    assert again.received(3) == 0
    payload.fill(again, *(i for i in range(payload.layout.shard_count) if i not in again.verified))
    again.finish_files()
    payload.check_placed(tmp_path / "models/m")


def test_files_without_a_known_sum_rest_on_their_shards(tmp_path: Path) -> None:
    payload = mixed_payload(crcs=False)
    payload.put(tmp_path / "models/m")
    store = payload.store(tmp_path)
    assert store.verified == frozenset()
    payload.fill(store)
    assert store.finish_files() == []
    payload.check_placed(tmp_path / "models/m")


def test_a_damaged_state_file_costs_a_transfer_and_no_error(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path), 0)
    state = tmp_path / ".fdist/jobs" / JOB / "shards.state"
    state.write_bytes(state.read_bytes()[:-4])
    again = payload.store(tmp_path)
    assert again.verified == frozenset()
    payload.fill(again)
    assert again.finish_files() == []
    payload.check_placed(tmp_path / "models/m")


def test_a_job_that_comes_back_as_another_is_refused(tmp_path: Path) -> None:
    mixed_payload().store(tmp_path)
    with pytest.raises(StoreError, match="another layout"):
        mixed_payload(seed=2).store(tmp_path)
    with pytest.raises(StoreError, match="another layout or destination"):
        mixed_payload().store(tmp_path, "elsewhere")


@pytest.mark.parametrize("destination", ["../out", "/etc", ".fdist", "a//b"])
def test_a_destination_outside_of_the_data_directory_is_refused(tmp_path: Path, destination: str) -> None:
    with pytest.raises(PlanError):
        mixed_payload().store(tmp_path, destination)


def test_a_cancelled_job_leaves_nothing_and_its_writers_stop(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store, 0)
    writer = store.writer(1)
    writer.write(payload.shard(1)[:100])
    store.discard()
    with pytest.raises(Cancelled):
        writer.write(payload.shard(1)[100:])
    writer.abort()
    store.discard()
    assert Store(tmp_path).jobs() == []
    assert sorted(p.name for p in tmp_path.iterdir()) == [".fdist"]


def test_purge_removes_the_files_of_the_job_and_no_others(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store)
    store.finish_files()
    (tmp_path / "models/m/conf/notes.txt").write_text("mine")
    (tmp_path / "models/m/big-0.bin").write_bytes(b"changed since")
    store.purge()
    left = sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["big-0.bin", "notes.txt"]


def test_the_jobs_on_a_disk_are_found_again(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path), 2)
    store = Store(tmp_path)
    assert store.jobs() == [JOB]
    assert store.total() > store.free() > 0
    job = store.open(JOB)
    job.prepare()
    assert isinstance(job, JobStore) and isinstance(job.layout, Layout)
    assert job.held() == {2: payload.digest(2)}
    with pytest.raises(NoSuchJob):
        store.open("ffff")


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file, keeping its size and its time."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
