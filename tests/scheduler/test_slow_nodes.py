"""Normal nodes read from normal ones, slow from slow, and one that is fast again is taken back."""

from __future__ import annotations

from tests.scheduler.cell import JOB, Cell, crc_of
from transfers.scheduler.types import Assignment, Report

NAMES = ["a", "b", "c", "d", "slow"]


def moved(cell: Cell, node: str, lease: Assignment, ms: int) -> None:
    report = Report(lease.lease, "ok", crc_of(lease.shard), bytes=1000, ms=ms)
    cell.next(node, report, want=0)


def fleet(cell: Cell) -> None:
    """Five nodes of which "slow" holds everything that "a" does, and has shown twice that it is slow."""
    cell.nodes("a", "slow")
    cell.nodes("b", "c", "d", up=0)
    cell.job(NAMES, shards=16, shard_size=1000)
    cell.holds("a", *range(16))
    for name in NAMES[1:]:
        cell.holds(name)
    for name, ms in (("b", 100), ("c", 100), ("slow", 1000), ("d", 100), ("slow", 1000), ("b", 100)):
        cell.now += 100_000
        cell.beat(*NAMES)
        [lease] = cell.next(name).assignments
        moved(cell, name, lease, ms)


def test_a_node_whose_transfers_take_long_is_found_to_be_slow_and_its_partners_are_not(cell: Cell) -> None:
    fleet(cell)
    assert [name for name in NAMES if cell.node(name).slow] == ["slow"]


def test_a_normal_node_waits_for_a_normal_source_rather_than_read_from_a_slow_one(cell: Cell) -> None:
    fleet(cell)
    cell.holds("slow", *range(16))
    [busy] = cell.next("b").assignments
    while busy.source != "a":
        moved(cell, "b", busy, 100)
        [busy] = cell.next("b").assignments
    reply = cell.next("c")
    assert all(each.source != "slow" for each in reply.assignments)


def test_any_source_will_do_for_a_node_that_waited_long(cell: Cell) -> None:
    cell.nodes("slow", "a", "b")
    fleet_job = ["slow", "a", "b"]
    cell.job(fleet_job, shards=4, shard_size=1000)
    cell.client.setbit("{fdist:main}:slow", 0, 1)
    cell.client.set("{fdist:main}:slow_count", 1)
    cell.client.hset("{fdist:main}:n:0", mapping={"slow": 2, "slow_at": cell.now})
    cell.client.delete("{fdist:main}:stamp")  # as whoever writes by hand has to
    cell.holds("slow", 0, 1, 2, 3)
    cell.holds("a", 0, 1, 2, 3)
    cell.holds("b")
    cell.scheduler.set_caps("a", upload_slots=0)
    assert cell.next("b").parked
    cell.now += 5_000
    cell.beat(*fleet_job)
    cell.scheduler.reap()
    assert [each.source for each in cell.inbox("b")] == ["slow"]


def test_a_shard_that_only_a_slow_node_has_is_read_from_it(cell: Cell) -> None:
    fleet(cell)
    cell.holds("slow", *range(16))
    cell.scheduler.leave("a")
    given = cell.next("b").assignments
    assert given and given[0].source in ("slow", "c", "d")


def test_a_slow_node_that_is_fast_again_is_taken_back(cell: Cell) -> None:
    fleet(cell)
    cell.now += 100_000
    cell.beat(*NAMES)
    [lease] = cell.next("slow").assignments  # a trial
    moved(cell, "slow", lease, 100)
    assert not cell.node("slow").slow
    assert cell.scheduler.leases(JOB) == []
    assert int(cell.client.get("{fdist:main}:trials") or 0) == 0


def test_a_node_that_starts_anew_is_not_slow(cell: Cell) -> None:
    fleet(cell)
    cell.now += 1
    cell.nodes("slow")
    assert not cell.node("slow").slow
    assert int(cell.client.get("{fdist:main}:slow_count") or 0) == 0
