"""The head of a chain, when it is not the first to be ready."""

from __future__ import annotations

from tests.scheduler.cell import JOB, Cell
from transfers.scheduler.types import GCS


def test_a_head_that_comes_second_takes_what_is_being_read_from_the_one_that_reads_it(cell: Cell) -> None:
    cell.nodes("head", "second", up=2, down=2, gcs=2)
    cell.job(["head", "second"], shards=4, topology="pipeline")
    cell.holds("second")
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
    early = [("second", lease) for lease in cell.next("second", want=2).assignments]
    cell.holds("head")
    cell.holds("third")
    for name, lease in early:
        cell.end(name, lease)
    cell.run(*names)
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete"
    assert view.bytes_gcs == 60
