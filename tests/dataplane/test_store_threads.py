"""Who writes, proves, drops and places shards of one job at the same time, and who waits for whom."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from transfers.dataplane import placement
from transfers.dataplane.store import Store
from transfers.errors import Cancelled

from .payloads import Payload, mixed_payload

PATIENCE = 60.0  # seconds, for what happens at once on a machine that has nothing else to do


def started(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_writer_waits_while_its_shard_is_being_proven(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    writer = store.writer(0)
    writer.write(payload.shard(0)[:60_000])
    writer.abort()
    proving, go_on = threading.Event(), threading.Event()

    def cancelled() -> bool:
        proving.set()
        return not go_on.wait(PATIENCE)

    prover = started(lambda: store.reverify([0], cancelled))
    assert proving.wait(PATIENCE)
    threading.Timer(0.1, go_on.set).start()
    writer = store.writer(0, store.received(0))
    assert go_on.is_set()
    prover.join(PATIENCE)
    writer.write(payload.shard(0)[60_000:])
    assert writer.finish() == payload.digest(0)


def test_proving_a_job_that_is_discarded_meanwhile_stops(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store)

    def cancelled() -> bool:
        store.discard()
        return False

    with pytest.raises(Cancelled):
        store.reverify(cancelled=cancelled)
    assert Store(tmp_path).jobs() == []


def test_a_shard_is_not_dropped_and_written_while_its_file_is_on_its_way_to_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was checked, and its bytes are being brought to the disk, which takes seconds for a large one."""
    payload = Payload({"a": 200_000}, 64_000)
    store = payload.store(tmp_path)
    payload.fill(store)
    syncing, go_on = threading.Event(), threading.Event()
    sync = placement._sync_files

    def slow(paths: list[Path]) -> None:
        syncing.set()
        assert go_on.wait(PATIENCE)
        sync(paths)

    def write_anew() -> None:
        store.drop(1)
        store.writer(1).write(bytes(64_000))  # of a source that lies

    monkeypatch.setattr(placement, "_sync_files", slow)
    placing = started(store.finish_files)
    assert syncing.wait(PATIENCE)
    writing = started(write_anew)
    writing.join(0.2)
    assert writing.is_alive()
    go_on.set()
    placing.join(PATIENCE)
    writing.join(PATIENCE)
    payload.check_placed(tmp_path / "models/m")


def test_a_damaged_file_is_taken_apart_when_nobody_writes_to_it(tmp_path: Path) -> None:
    payload = Payload({"a": 200_000}, 64_000)
    store = payload.store(tmp_path)
    payload.fill(store)
    assert store.finish_files() == []
    store.drop(1)
    writer = store.writer(1)
    writer.write(payload.shard(1)[:1000])
    (tmp_path / "models/m/a").unlink()
    proving = started(lambda: store.reverify([2]))
    proving.join(0.2)
    assert proving.is_alive()
    writer.write(payload.shard(1)[1000:])
    store.mark_verified(1, writer.finish())
    proving.join(PATIENCE)
    assert not proving.is_alive() and not store.verified, "the bytes of all its shards went with the file"
    payload.fill(store)
    assert store.finish_files() == []
    payload.check_placed(tmp_path / "models/m")


def test_a_file_that_goes_the_moment_it_is_in_its_place_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = Payload({"a": 200_000}, 64_000)
    store = payload.store(tmp_path)
    payload.fill(store)
    final = tmp_path / "models/m/a"
    monkeypatch.setattr(placement, "sync_folder", lambda folder: final.unlink(missing_ok=True))
    assert store.finish_files() == []
    monkeypatch.undo()
    store.reverify()
    payload.fill(store, *(set(range(payload.layout.shard_count)) - store.verified))
    assert store.finish_files() == []
    payload.check_placed(tmp_path / "models/m")
