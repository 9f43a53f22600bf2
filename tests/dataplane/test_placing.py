"""Files appear at their destination whole or not at all, and come back from there for repair."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transfers.errors import StoreError

from .payloads import JOB, Payload, mixed_payload
from .test_store import flip


def test_a_placed_file_that_was_damaged_is_taken_back_and_repaired(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store)
    store.finish_files()
    flip(tmp_path / "models/m/big-1.bin", 70_000)
    held = store.reverify()
    bad = set(range(payload.layout.shard_count)) - set(held)
    assert len(bad) == 1
    assert not (tmp_path / "models/m/big-1.bin").exists()
    assert (tmp_path / "models/m/big-0.bin").exists()
    payload.fill(store, *bad)
    assert store.finish_files() == []
    payload.check_placed(tmp_path / "models/m")


def test_a_placed_file_that_was_deleted_or_cut_comes_again_from_its_shards(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store)
    store.finish_files()
    (tmp_path / "models/m/big-1.bin").unlink()
    os.truncate(tmp_path / "models/m/conf/small-29.json", 3)
    again = payload.store(tmp_path)
    missing = set(range(payload.layout.shard_count)) - set(again.reverify())
    first, last = payload.layout.shards_of_file(1), payload.layout.shards_of_file(len(payload.data) - 1)
    assert missing == {*first, *last}
    payload.fill(again, *missing)
    again.finish_files()
    payload.check_placed(tmp_path / "models/m")


def test_a_file_whose_whole_sum_is_wrong_is_never_placed_and_is_named(tmp_path: Path) -> None:
    """The shards agreed with their digests, as when the first reader of the bucket got bad bytes."""
    payload, poisoned = mixed_payload(), mixed_payload()
    offset, _ = payload.layout.shard_range(5)
    poisoned.run = payload.run[:offset] + bytes(3) + payload.run[offset + 3 :]
    store = payload.store(tmp_path)
    poisoned.fill(store)
    for _ in range(2):
        (problem,) = store.finish_files()
        assert (problem.name, problem.index) == ("big-1.bin", 1)
        assert 5 in problem.shards
        assert f"{payload.layout.files[1].crc32c:08x}" in str(problem)
        assert not (tmp_path / "models/m/big-1.bin").exists()
        assert (tmp_path / "models/m/big-0.bin").exists()
    again = payload.store(tmp_path)
    again.reverify()
    assert [p.index for p in again.finish_files()] == [1]
    again.drop(5)
    payload.fill(again, 5)
    assert again.finish_files() == []
    payload.check_placed(tmp_path / "models/m")


def test_the_same_content_at_the_destination_needs_no_transfer(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.put(tmp_path / "models/m")
    store = payload.store(tmp_path)
    assert store.complete and store.placed
    assert store.reverify() == {i: payload.digest(i) for i in range(payload.layout.shard_count)}
    assert not list((tmp_path / ".fdist/jobs" / JOB / "parts").iterdir())


def test_other_content_at_the_destination_is_replaced_and_equal_neighbours_are_kept(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.put(tmp_path / "models/m")
    (tmp_path / "models/m/big-1.bin").write_bytes(bytes(123_457))
    (tmp_path / "models/m/conf/small-07.json").write_bytes(b"old")
    kept = (tmp_path / "models/m/conf/small-08.json").stat().st_ino
    store = payload.store(tmp_path)
    assert 0 in store.verified and not store.complete
    assert (tmp_path / "models/m/big-1.bin").read_bytes() == bytes(123_457)
    payload.fill(store, *(set(range(payload.layout.shard_count)) - store.verified))
    assert store.finish_files() == []
    payload.check_placed(tmp_path / "models/m")
    assert (tmp_path / "models/m/conf/small-08.json").stat().st_ino == kept


@pytest.mark.parametrize(("blocked", "words"), [("models", "is a file"), ("models/m/conf", "is a file")])
def test_a_file_where_a_folder_must_be_is_reported_before_a_byte_moves(
    tmp_path: Path, blocked: str, words: str
) -> None:
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_text("in the way")
    with pytest.raises(StoreError, match=words):
        mixed_payload().store(tmp_path)


def test_a_folder_where_a_file_must_be_is_reported_before_a_byte_moves(tmp_path: Path) -> None:
    (tmp_path / "models/m/big-0.bin").mkdir(parents=True)
    with pytest.raises(StoreError, match="is a folder"):
        mixed_payload().store(tmp_path)


def test_a_folder_in_the_way_of_a_file_is_reported_and_the_rest_waits(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store)
    (tmp_path / "models/m/big-1.bin").mkdir(parents=True)
    with pytest.raises(StoreError, match="is a folder"):
        store.finish_files()
    (tmp_path / "models/m/big-1.bin").rmdir()
    assert store.finish_files() == []
    payload.check_placed(tmp_path / "models/m")


_KILLED = """
import os, pathlib, sys
sys.path.insert(0, sys.argv[4])
from transfers.dataplane.store import Store
store = Store(pathlib.Path(sys.argv[1])).open(sys.argv[2])
store.prepare()
left = int(sys.argv[3])
def dying(call):
    def wrapped(*args, **options):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args, **options)
    return wrapped
for name in ("open", "fsync", "fchmod", "rename", "mkdir", "stat", "close"):
    setattr(os, name, dying(getattr(os, name)))
assert store.finish_files() == []
os._exit(0)
"""


def test_a_kill_at_any_step_of_placing_leaves_the_old_or_the_whole_new_file(tmp_path: Path) -> None:
    """A process dies before its first, second, third ... call to the system, until one gets to the end."""
    sizes = {"a.bin": 9_000, "sub/b.bin": 11_000}
    payload = Payload(sizes, 8_000)
    old = {name: b"old " + name.encode() for name in sizes}
    root = Path(__file__).parents[2]
    for step in range(200):
        data_dir = tmp_path / f"step-{step}"
        payload.fill(payload.store(data_dir))
        put_old = data_dir / "models/m"
        (put_old / "sub").mkdir(parents=True)
        for name, data in old.items():
            (put_old / name).write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, str(data_dir), JOB, str(step), str(root)], check=False, capture_output=True
        )
        assert done.returncode in (0, 9), done.stderr.decode()
        for name in sizes:
            assert (put_old / name).read_bytes() in (old[name], payload.data[name])
        again = payload.store(data_dir)
        assert again.reverify() == {i: payload.digest(i) for i in range(payload.layout.shard_count)}
        assert again.finish_files() == []
        payload.check_placed(put_old)
        if done.returncode == 0:
            break
    assert step > 10
    assert done.returncode == 0
