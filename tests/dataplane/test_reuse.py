"""What other jobs have here is taken from them: proven by reading, shared where the disk can, never on trust."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from transfers.dataplane.digest import crc32c
from transfers.dataplane.disk import free_bytes
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.dataplane.reuse import Reuse
from transfers.dataplane.store import JobStore, Store

from .payloads import JOB, Payload, mixed_payload
from .test_store import flip

SECOND = "f" * 32
SHARD = 64_000


def placed(payload: Payload, data_dir: Path, destination: str = "models/v1", job: str = JOB) -> JobStore:
    store = payload.store(data_dir, destination, job)
    payload.fill(store)
    assert store.finish_files() == []
    return store


def second(payload: Payload, data_dir: Path, reuse: Reuse = "link", destination: str = "models/v2") -> JobStore:
    store = Store(data_dir, reuse).create(SECOND, payload.layout, destination)
    store.prepare()
    return store


def never() -> bool:
    return False


def test_a_second_job_with_the_same_content_needs_no_transfer_and_no_space(tmp_path: Path) -> None:
    payload = mixed_payload()
    placed(payload, tmp_path)
    store = second(payload, tmp_path)
    assert store.complete and store.finish_files() == []
    payload.check_placed(tmp_path / "models/v2")
    one, other = (tmp_path / folder / "big-0.bin" for folder in ("models/v1", "models/v2"))
    assert one.stat().st_ino == other.stat().st_ino
    assert one.stat().st_mode & 0o777 == 0o444, "who changed one in place would change the other"
    assert store.reverify() == {shard: payload.digest(shard) for shard in range(payload.layout.shard_count)}


def test_other_names_another_order_and_another_cut_do_not_matter(tmp_path: Path) -> None:
    one = Payload({"a": 200_000, "b": 150_000}, SHARD)
    placed(one, tmp_path)
    other = Payload({"x/first": 7, "x/was-b": 150_000, "y/was-a": 200_000}, 50_000)
    other.data |= {"x/was-b": one.data["b"], "y/was-a": one.data["a"]}
    other = payload_of(other.data, 50_000)
    store = second(other, tmp_path)
    assert {store.layout.files[f].name for f in range(3) if store.state.is_placed(f)} == {"x/was-b", "y/was-a"}
    assert store.verified == frozenset(range(1, other.layout.shard_count))
    other.fill(store, 0)
    assert store.finish_files() == []
    other.check_placed(tmp_path / "models/v2")


def payload_of(data: dict[str, bytes], shard_size: int) -> Payload:
    """A payload of just these bytes."""
    payload = Payload({}, shard_size)
    payload.data, payload.run = data, b"".join(data.values())
    payload.layout = Layout(
        tuple(OriginObject("weights", f"m/{name}", 1, len(d), crc32c(d)) for name, d in data.items()),
        tuple(PayloadFile(name, len(d), crc32c(d)) for name, d in data.items()),
        shard_size,
    )
    return payload


@pytest.mark.parametrize(("reuse", "shared"), [("link", True), ("copy", False)])
def test_a_purge_of_one_job_leaves_the_other_whole(tmp_path: Path, reuse: Reuse, shared: bool) -> None:
    payload = mixed_payload()
    first = placed(payload, tmp_path)
    store = second(payload, tmp_path, reuse)
    assert store.finish_files() == []
    one, other = (tmp_path / folder / "big-0.bin" for folder in ("models/v1", "models/v2"))
    assert (one.stat().st_ino == other.stat().st_ino) is shared
    first.purge()
    assert not one.exists()
    payload.check_placed(tmp_path / "models/v2")
    assert len(store.reverify()) == payload.layout.shard_count
    store.purge()
    assert not other.exists()


@pytest.fixture
def cloning_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on which two files can share blocks."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    mkfs = next((found for name in ("mkfs.xfs", "mkfs.btrfs") if (found := shutil.which(name))), None)
    if os.geteuid() != 0 or mkfs is None:
        pytest.skip("only root with mkfs.xfs or mkfs.btrfs can make such a disk")
    with image.open("wb") as file:
        file.truncate(400 << 20)
    folder.mkdir()
    subprocess.run([mkfs, str(image)], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("this machine cannot mount it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("reuse", ["link", "copy"])
def test_where_the_disk_can_clone_both_files_are_of_their_own_and_share_their_blocks(
    cloning_disk: Path, reuse: Reuse
) -> None:
    payload = Payload({"model": 40 << 20}, 8 << 20)
    placed(payload, cloning_disk)
    os.sync()
    free = free_bytes(cloning_disk)
    second(payload, cloning_disk, reuse)
    os.sync()
    assert free - free_bytes(cloning_disk) < 8 << 20
    one, other = cloning_disk / "models/v1/model", cloning_disk / "models/v2/model"
    assert one.stat().st_ino != other.stat().st_ino
    flip(one, 100)
    assert other.read_bytes() == payload.data["model"]


def test_what_is_off_is_not_taken(tmp_path: Path) -> None:
    payload = mixed_payload()
    placed(payload, tmp_path)
    store = second(payload, tmp_path, "off")
    assert store.verified == frozenset()
    assert not store.take_shard(0, payload.digest(0), never)


def test_a_file_that_rotted_or_was_changed_is_not_taken(tmp_path: Path) -> None:
    payload = mixed_payload()
    placed(payload, tmp_path)
    flip(tmp_path / "models/v1/big-0.bin", 100_000)  # its time and size are as they were
    (tmp_path / "models/v1/big-1.bin").write_bytes(payload.data["big-1.bin"])  # not as it was put there
    store = second(payload, tmp_path)
    assert not store.state.is_placed(0) and not store.state.is_placed(1)
    assert all(store.state.is_placed(file) for file in range(3, len(payload.data)))
    payload.fill(store, *(set(range(payload.layout.shard_count)) - store.verified))
    assert store.finish_files() == []
    payload.check_placed(tmp_path / "models/v2")


def test_repairing_a_shared_file_leaves_the_other_jobs_name_alone(tmp_path: Path) -> None:
    payload = mixed_payload()
    first = placed(payload, tmp_path)
    second(payload, tmp_path)
    damaged = tmp_path / "models/v1/big-0.bin"
    flip(damaged, 100_000)
    bad = set(range(payload.layout.shard_count)) - set(first.reverify())
    assert bad == {1}
    assert (tmp_path / "models/v2/big-0.bin").exists() and not damaged.exists()
    payload.fill(first, *bad)
    assert first.finish_files() == []
    payload.check_placed(tmp_path / "models/v1")
    again = Store(tmp_path).create(SECOND, payload.layout, "models/v2")
    again.prepare()
    assert set(range(payload.layout.shard_count)) - set(again.reverify()) == {
        1
    }  # it has the damage still, and finds it


def versions(change: int) -> tuple[Payload, Payload]:
    """Two versions of a model whose files differ at one byte."""
    old = Payload({"model": 6 * SHARD + 100, "tokens": SHARD // 2}, SHARD)
    data = dict(old.data)
    model = bytearray(data["model"])
    model[change] ^= 1
    data["model"] = bytes(model)
    return old, payload_of(data, SHARD)


def test_equal_shards_of_a_file_that_changed_are_copied_and_the_others_are_not(tmp_path: Path) -> None:
    old, new = versions(change=2 * SHARD + 5)
    placed(old, tmp_path)
    store = second(new, tmp_path)
    taken = [shard for shard in range(6) if store.take_shard(shard, new.digest(shard), never)]
    assert taken == [0, 1, 3, 4, 5]
    for shard in taken:
        store.mark_verified(shard, new.digest(shard))
    assert store.received(2) == 0
    new.fill(store, *(set(range(new.layout.shard_count)) - store.verified))
    assert store.finish_files() == []
    new.check_placed(tmp_path / "models/v2")
    old.check_placed(tmp_path / "models/v1")


def test_shards_are_taken_from_the_version_that_the_new_one_is_about_to_replace(tmp_path: Path) -> None:
    old, new = versions(change=5)
    placed(old, tmp_path, "models/live")
    store = second(new, tmp_path, destination="models/live")
    assert [shard for shard in range(6) if store.take_shard(shard, new.digest(shard), never)] == [1, 2, 3, 4, 5]


def test_a_shard_that_rotted_where_it_is_taken_from_is_noticed_and_left(tmp_path: Path) -> None:
    old, new = versions(change=5)
    placed(old, tmp_path)
    flip(tmp_path / "models/v1/model", 3 * SHARD + 7)
    store = second(new, tmp_path)
    assert not store.take_shard(3, new.digest(3), never)
    assert store.received(3) == 0
    new.fill(store, 3)
    assert store.take_shard(4, new.digest(4), never)


def test_shards_that_are_cut_elsewhere_are_not_looked_for(tmp_path: Path) -> None:
    old, new = versions(change=5)
    placed(old, tmp_path)
    other = payload_of(new.data, SHARD - 1000)
    store = second(other, tmp_path)
    assert not any(store.take_shard(shard, other.digest(shard), never) for shard in range(1, 6))


def test_a_payload_of_random_versions_is_always_right(tmp_path: Path) -> None:
    chance = random.Random(7)
    base = {f"f{i}": chance.randbytes(chance.randrange(1, 3 * SHARD)) for i in range(6)}
    for round_ in range(6):
        data = {name: bytes(d) for name, d in base.items() if chance.random() > 0.2}
        for name in list(data):
            if chance.random() < 0.4:
                at = chance.randrange(len(data[name]))
                data[name] = data[name][:at] + b"!" + data[name][at + 1 :]
        payload = payload_of(data, SHARD)
        store = Store(tmp_path).create(f"{round_:032x}", payload.layout, f"models/v{round_}")
        store.prepare()
        for shard in set(range(payload.layout.shard_count)) - store.verified:
            if store.take_shard(shard, payload.digest(shard), never):
                store.mark_verified(shard, payload.digest(shard))
            else:
                payload.fill(store, shard)
        assert store.finish_files() == []
        payload.check_placed(tmp_path / f"models/v{round_}")
