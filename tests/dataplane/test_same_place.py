"""Two jobs with files at the same paths: none loses what the other has put, or found, there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from transfers.dataplane.store import JobStore, Store
from transfers.errors import StoreError

from .payloads import Payload
from .test_reuse import placed
from .test_store import flip

FIRST, SECOND = "a" * 32, "b" * 32
PLACE = "models/m"
SIZES = {"config.json": 900, "model.bin": 300_000}
SHARD = 64_000
NOBODY = 65534


def payload(seed: int = 1) -> Payload:
    return Payload(SIZES, SHARD, seed=seed)


def both_whole(data_dir: Path) -> tuple[Payload, JobStore, JobStore]:
    """The same content pushed twice to the same place."""
    same = payload()
    first = placed(same, data_dir, PLACE, FIRST)
    second = same.store(data_dir, PLACE, SECOND)
    assert second.placed
    return same, first, second


def test_a_purge_leaves_the_files_that_another_job_counts_on(tmp_path: Path) -> None:
    same, first, second = both_whole(tmp_path)
    first.purge()
    same.check_placed(tmp_path / PLACE)
    assert second.reverify() == {shard: same.digest(shard) for shard in range(same.layout.shard_count)}
    second.purge()
    assert not (tmp_path / "models").exists()


def test_the_last_job_to_go_takes_the_files_along_whoever_put_them_there(tmp_path: Path) -> None:
    same, first, second = both_whole(tmp_path)
    second.purge()
    same.check_placed(tmp_path / PLACE)
    first.purge()
    assert not (tmp_path / "models").exists()


def test_a_repair_leaves_the_other_job_whole_again(tmp_path: Path) -> None:
    same, first, _ = both_whole(tmp_path)
    flip(tmp_path / PLACE / "model.bin", 100_000)
    bad = set(range(same.layout.shard_count)) - set(first.reverify())
    same.fill(first, *bad)
    assert first.finish_files() == []
    same.check_placed(tmp_path / PLACE)
    again = same.store(tmp_path, PLACE, SECOND)
    assert again.placed and len(again.reverify()) == same.layout.shard_count


def replaced(data_dir: Path) -> tuple[Payload, JobStore]:
    """A model of the same shape, whose files have the same sizes, pushed to the same place; and the job before it."""
    new = payload(2)
    first = placed(payload(1), data_dir, PLACE, FIRST)
    placed(new, data_dir, PLACE, SECOND)
    return new, first


def test_checking_a_job_whose_files_were_replaced_leaves_those_of_the_new_one_and_says_so(tmp_path: Path) -> None:
    new, first = replaced(tmp_path)
    with pytest.raises(StoreError, match=f"put there by job {SECOND} after job {FIRST}"):
        first.reverify()
    with pytest.raises(StoreError, match="put there by job"):
        first.finish_files()
    with pytest.raises(StoreError, match="put there by job"):  # as after a restart
        payload(1).store(tmp_path, PLACE, FIRST)
    new.check_placed(tmp_path / PLACE)


def test_a_file_that_somebody_put_in_place_of_ours_is_not_taken_for_repair(tmp_path: Path) -> None:
    old, new = payload(1), payload(2)
    first = placed(old, tmp_path, PLACE, FIRST)
    draft = tmp_path / "draft"
    draft.write_bytes(new.data["model.bin"])
    draft.rename(tmp_path / PLACE / "model.bin")
    missing = set(range(old.layout.shard_count)) - set(first.reverify())
    assert (tmp_path / PLACE / "model.bin").read_bytes() == new.data["model.bin"]
    old.fill(first, *missing)
    assert first.finish_files() == []
    old.check_placed(tmp_path / PLACE)


def test_a_purge_of_a_job_whose_files_were_replaced_leaves_those_of_the_new_one(tmp_path: Path) -> None:
    new, first = replaced(tmp_path)
    first.purge()
    new.check_placed(tmp_path / PLACE)


@pytest.mark.parametrize("destination", ["m/current", "m"])
def test_no_job_writes_through_or_over_the_link_of_a_version(tmp_path: Path, destination: str) -> None:
    version = payload(1)
    placed(version, tmp_path, "m/versions/3", FIRST)
    assert Store(tmp_path).currents.switch("m", FIRST)
    sizes = SIZES if destination == "m/current" else {"current": 1000}
    with pytest.raises(StoreError, match=r"names the version in use|current is a folder"):
        Payload(sizes, SHARD, seed=2).store(tmp_path, destination, SECOND)
    version.check_placed(tmp_path / "m/current")


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Path]:
    """A data directory of a process that may not write what is read-only, as agents are on servers."""
    folder = tmp_path / "data"
    folder.mkdir()
    if os.geteuid() != 0:
        yield folder
        return
    os.chown(folder, NOBODY, NOBODY)
    opened = [above for above in (tmp_path, *tmp_path.parents) if not above.stat().st_mode & 0o001]
    before = [above.stat().st_mode for above in opened]
    for above, mode in zip(opened, before, strict=True):
        above.chmod(mode | 0o011)
    os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        for above, mode in zip(opened, before, strict=True):
            above.chmod(mode)


def test_a_file_that_was_shared_is_repaired_by_a_process_that_may_not_write_it(unprivileged: Path) -> None:
    same = payload()
    first = placed(same, unprivileged, "models/v1", FIRST)
    second = same.store(unprivileged, "models/v2", SECOND)
    first.purge()
    rotten = unprivileged / "models/v2/model.bin"
    assert rotten.stat().st_mode & 0o777 == 0o444 and rotten.stat().st_nlink == 1
    rotten.chmod(0o644)
    flip(rotten, 100_000)
    rotten.chmod(0o444)
    missing = set(range(same.layout.shard_count)) - set(second.reverify())
    assert missing == {1}
    same.fill(second, *missing)
    assert second.finish_files() == []
    same.check_placed(unprivileged / "models/v2")


def test_a_kill_between_sharing_and_placing_leaves_no_part_that_is_another_jobs_file(tmp_path: Path) -> None:
    same = payload()
    placed(same, tmp_path, "models/v1", FIRST)
    killed = Store(tmp_path, "off").create(SECOND, same.layout, "models/v2")
    killed.prepare()
    part = killed.folder.part_path(1)
    part.unlink()
    part.hardlink_to(tmp_path / "models/v1/model.bin")
    again = Store(tmp_path, "off").create(SECOND, same.layout, "models/v2")
    again.prepare()
    writer = again.writer(1)
    writer.write(bytes(SHARD))  # of a peer that lies
    writer.abort(keep=False)
    same.check_placed(tmp_path / "models/v1")
