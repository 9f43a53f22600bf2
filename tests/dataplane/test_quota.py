"""A node's jobs stay within its quota: what was wanted least lately makes room, and never what is pinned or open."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from transfers.dataplane import room
from transfers.dataplane.room import Quota
from transfers.dataplane.shelf import Shelf
from transfers.dataplane.store import Store
from transfers.errors import DiskFull

from .payloads import Payload
from .test_disk_trouble import layout_of

SIZE = 100_000
JOBS = [f"{number:032x}" for number in range(6)]


class Node:
    """A store with a quota in bytes."""

    def __init__(self, data_dir: Path, quota: int | None) -> None:
        self.store = Store(data_dir, "link")
        self.shelf = Shelf(data_dir)
        self.open: set[str] = set()
        self.evicted: list[str] = []
        self.quota = Quota(data_dir, quota, lambda job: job in self.open, self._evict)
        self.store.make_room = self.quota.made

    def _evict(self, job: str) -> bool:
        self.store.open(job).purge()
        self.evicted.append(job)
        return True

    def add(self, number: int, size: int = SIZE, wanted_at: int = 0, seed: int | None = None) -> Payload:
        """Job `number`, whole and in place; wanted at that second."""
        payload = Payload({"file": size}, 32_000, seed=number if seed is None else seed)
        store = self.store.create(JOBS[number], payload.layout, f"d{number}")
        store.prepare()
        if not store.complete:
            payload.fill(store)
        assert store.finish_files() == []
        self.shelf.want(JOBS[number])
        at = wanted_at or number + 1
        os.utime(self.store.data_dir / ".fdist/jobs" / JOBS[number] / "wanted", (at, at))
        return payload

    def there(self) -> list[int]:
        return [JOBS.index(job) for job in self.shelf.names()]

    @property
    def used(self) -> int:
        return sum(kept.size for kept in self.shelf.jobs())


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., Node]:
    return lambda quota: Node(tmp_path, quota)


def test_what_was_wanted_least_lately_makes_room(node: Callable[..., Node], tmp_path: Path) -> None:
    n = node(3 * SIZE)
    for number, wanted_at in ((0, 30), (1, 10), (2, 20)):
        n.add(number, wanted_at=wanted_at)
    assert n.used == 3 * SIZE and n.evicted == []
    payload = n.add(3)
    assert n.there() == [0, 2, 3]
    assert not (tmp_path / "d1").exists()
    payload.check_placed(tmp_path / "d3")
    assert n.used == 3 * SIZE


def test_as_many_go_as_it_takes_and_no_more(node: Callable[..., Node]) -> None:
    n = node(4 * SIZE)
    for number in range(4):
        n.add(number)
    n.add(4, size=2 * SIZE)
    assert n.evicted == [JOBS[0], JOBS[1]]


def test_pinned_and_open_jobs_stay_and_nothing_goes_in_vain(node: Callable[..., Node]) -> None:
    n = node(3 * SIZE)
    for number in range(3):
        n.add(number)
    assert n.shelf.pin(JOBS[0], True)
    n.open.add(JOBS[1])
    with pytest.raises(
        DiskFull,
        match=r"needs 0\.20 MB more; the quota of this node is 0\.30 MB with 0\.30 MB used, of which pinned "
        r"jobs hold 0\.10 MB and open ones 0\.10 MB",
    ):
        n.add(3, size=2 * SIZE)
    assert n.evicted == [] and set(n.there()) >= {0, 1, 2}
    n.shelf.pin(JOBS[0], False)
    n.add(4, size=2 * SIZE)
    assert n.evicted == [JOBS[0], JOBS[2]]


def test_pins_and_wishes_outlive_the_agent(node: Callable[..., Node], tmp_path: Path) -> None:
    n = node(2 * SIZE)
    n.add(0, wanted_at=50)
    n.shelf.pin(JOBS[0], True)
    kept = Shelf(tmp_path).find(JOBS[0])
    assert kept is not None
    assert (kept.pinned, kept.wanted_at, kept.size, kept.whole) == (True, 50.0, SIZE, True)
    assert not n.shelf.pin(JOBS[1], True), "a job that is not here cannot be pinned"


def test_a_job_larger_than_the_quota_is_refused(node: Callable[..., Node]) -> None:
    n = node(SIZE)
    n.add(0, size=SIZE // 2)
    with pytest.raises(DiskFull, match="raise the quota"):
        n.add(1, size=SIZE + 1)
    assert n.evicted == []


def test_a_disk_that_is_fuller_than_the_quota_makes_room_as_well(
    node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    n = node(100 * SIZE)
    n.add(0)
    n.add(1)
    taken_by_others = [room.parts.RESERVE + SIZE // 2]  # free beside what the jobs here hold
    monkeypatch.setattr(room, "free_bytes", lambda path: taken_by_others[0] + 2 * SIZE - n.used)
    n.add(2)
    assert n.evicted == [JOBS[0]]


def test_without_a_quota_nothing_is_ever_evicted(node: Callable[..., Node]) -> None:
    n = node(None)
    n.add(0)
    with pytest.raises(DiskFull, match="free some space"):
        n.store.create(JOBS[1], layout_of(1 << 50, shard_size=1 << 40), "x").prepare()
    assert n.shelf.find(JOBS[0]) is not None and n.evicted == []


def test_a_file_that_two_jobs_share_takes_room_once(node: Callable[..., Node], tmp_path: Path) -> None:
    n = node(SIZE)
    n.add(0, seed=9)
    payload = n.add(1, seed=9)
    assert n.evicted == [] and n.used == SIZE
    n._evict(JOBS[0])
    assert n.used == SIZE
    payload.check_placed(tmp_path / "d1")


def test_a_job_whose_parts_are_not_complete_counts_in_full(node: Callable[..., Node]) -> None:
    n = node(10 * SIZE)
    payload = Payload({"file": SIZE}, 32_000)
    store = n.store.create(JOBS[0], payload.layout, "d0")
    store.prepare()
    kept = n.shelf.find(JOBS[0])
    assert kept is not None and kept.size == SIZE and not kept.whole


def test_a_purge_finds_the_files_of_a_job_whose_state_is_damaged(tmp_path: Path) -> None:
    n = Node(tmp_path, None)
    n.add(0)
    (tmp_path / ".fdist/jobs" / JOBS[0] / "shards.state").write_bytes(b"damaged")
    n.store.open(JOBS[0]).purge()
    assert n.there() == [] and not (tmp_path / "d0").exists()


def test_a_purge_needs_no_room_and_no_reading(tmp_path: Path) -> None:
    """Also after a restart, with a file gone and the disk full: prepare would want room for it again."""
    n = Node(tmp_path, SIZE)
    n.add(0)
    (tmp_path / "d0/file").unlink()
    n.quota.quota = 1
    n.store.open(JOBS[0]).purge()
    assert n.there() == []
