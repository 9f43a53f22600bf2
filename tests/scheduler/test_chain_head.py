"""The head of a chain, when it is not the first to be ready."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable

import pytest

from tests.scheduler.cell import JOB, Cell, crc_of
from transfers.scheduler.types import GCS, Assignment, Report


def test_a_head_that_comes_second_takes_what_is_being_read_from_the_one_that_reads_it(cell: Cell) -> None:
    cell.nodes("head", "second", up=2, down=2, gcs=2)
    cell.job(["head", "second"], shards=4, topology="pipeline")
    cell.holds("second")
    cell.now += 1000
    early = cell.next("second", want=2).assignments
    assert [(lease.shard, lease.source) for lease in early] == [(0, GCS), (1, GCS)]
    cell.holds("head")
    taken = cell.next("head", want=4).assignments
    assert [(lease.shard, lease.source, lease.cut_through) for lease in taken] == [
        (0, "second", True),
        (1, "second", True),
        (2, GCS, False),
        (3, GCS, False),
    ]


def test_a_late_head_does_not_add_to_what_leaves_the_bucket(cell: Cell) -> None:
    names = ["head", "second", "third"]
    cell.nodes(*names, up=2, down=2, gcs=2)
    cell.job(names, shards=6, topology="pipeline")
    cell.holds("second")
    cell.now += 1000
    early = [("second", lease) for lease in cell.next("second", want=2).assignments]
    cell.holds("head")
    cell.holds("third")
    for name, lease in early:
        cell.end(name, lease)
    cell.run(*names)
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete"
    assert view.bytes_gcs == 60


@pytest.mark.parametrize("order", list(itertools.permutations("abcd")), ids="".join)
def test_whatever_the_order_in_which_nodes_come_the_bucket_is_read_once(cell: Cell, order: tuple[str, ...]) -> None:
    cell.nodes(*"abcd", up=2, down=2, gcs=2)
    cell.job("abcd", shards=12, topology="pipeline", gcs_slots=8)
    work: deque[tuple[str, Assignment]] = deque()

    def take(node: str, given: Iterable[Assignment]) -> None:
        work.extend((node, each) for each in given)

    for node in order:
        cell.holds(node)
        take(node, cell.next(node, want=4).assignments)
        for other in "abcd":
            take(other, cell.inbox(other))
    idle = 0
    while idle < 3:
        if not work:
            cell.now += 500
            cell.scheduler.reap()
            idle += 1
        else:
            node, lease = work.popleft()
            reply = cell.next(node, Report(lease.lease, "ok", crc_of(lease.shard), bytes=10, ms=1), want=4)
            if reply.unsettled:
                work.append((node, lease))
            take(node, reply.assignments)
        for other in "abcd":
            take(other, cell.inbox(other))
    view = cell.scheduler.job(JOB)
    assert view is not None and view.shards_held == 48 and view.bytes_gcs == 120


def test_who_comes_early_waits_a_moment_for_the_neighbour_that_is_still_to_come(cell: Cell) -> None:
    cell.nodes("head", "second", "third")
    cell.job(["head", "second", "third"], shards=4, topology="pipeline")
    cell.holds("head")
    cell.holds("third")
    assert cell.next("third", want=1).assignments == ()
    assert [lease.source for lease in cell.next("head", want=1).assignments] == [GCS]
    assert cell.inbox("third") == []
    cell.holds("second")
    assert [lease.source for lease in cell.next("second", want=1).assignments] == ["head"]
    assert [lease.source for lease in cell.inbox("third")] == ["second"]


def test_a_neighbour_that_does_not_come_is_passed_over(cell: Cell) -> None:
    cell.nodes("head", "second", "third")
    cell.job(["head", "second", "third"], shards=4, topology="pipeline")
    cell.holds("head")
    cell.holds("third")
    cell.next("head", want=1)
    assert cell.next("third", want=1).assignments == ()
    cell.now += 1000
    cell.scheduler.reap()
    assert [lease.source for lease in cell.inbox("third")] == ["head"]
