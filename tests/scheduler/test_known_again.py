"""A job that is known again: what its nodes hold is awaited, and not read from the bucket meanwhile."""

from __future__ import annotations

import pytest

from tests.scheduler.cell import JOB, Cell, crc_of
from transfers.scheduler.types import GCS, JobSpec


def known_again(cell: Cell, *names: str, shards: int, digests: int, topology: str = "mesh") -> None:
    """A job that is built again, of whose shards the first `digests` were read once already."""
    spec = JobSpec(JOB, topology, shards, 10, 10 * shards)  # type: ignore[arg-type]
    cell.scheduler.create_job(spec, "{}", {shard: crc_of(shard) for shard in range(digests)})
    cell.scheduler.enrol(JOB, names)


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_the_bucket_is_not_read_for_what_a_node_may_be_about_to_announce(cell: Cell, topology: str) -> None:
    cell.nodes("a", "b")
    known_again(cell, "a", "b", shards=2, digests=2, topology=topology)
    cell.holds("a")
    assert cell.next("a", want=2).assignments == ()
    cell.holds("b", 0, 1)
    assert {lease.source for lease in cell.inbox("a")} == {"b"}


def test_what_nobody_holds_is_read_when_the_last_node_has_told(cell: Cell) -> None:
    cell.nodes("a", "b")
    known_again(cell, "a", "b", shards=2, digests=2)
    cell.holds("a")
    assert cell.next("a", want=2).assignments == ()
    cell.holds("b", 1)
    assert [(lease.shard, lease.source) for lease in cell.inbox("a")] == [(0, GCS)]


def test_what_was_never_read_is_read_at_once(cell: Cell) -> None:
    cell.nodes("a", "b")
    known_again(cell, "a", "b", shards=3, digests=2)
    cell.holds("a")
    assert [(lease.shard, lease.source) for lease in cell.next("a", want=3).assignments] == [(2, GCS)]


def test_a_node_that_does_not_come_is_not_awaited_for_ever(cell: Cell) -> None:
    cell.nodes("a")
    known_again(cell, "a", "never-seen", shards=1, digests=1)
    cell.holds("a")
    assert cell.next("a").assignments == ()
    cell.now += JobSpec.await_ms - 1
    cell.scheduler.reap()
    assert cell.inbox("a") == []
    cell.now += 1
    cell.scheduler.reap()
    assert [(lease.shard, lease.source) for lease in cell.inbox("a")] == [(0, GCS)]


def test_one_node_is_not_kept_waiting_for_itself(cell: Cell) -> None:
    cell.nodes("a")
    known_again(cell, "a", shards=2, digests=2)
    cell.holds("a", 1)
    assert [(lease.shard, lease.source) for lease in cell.next("a", want=2).assignments] == [(0, GCS)]
