"""The word behind each link `current`: a hash, and a revision by which nodes notice that it has changed."""

from __future__ import annotations

from tests.scheduler.cell import Cell
from transfers.scheduler.types import Heartbeat


def revision(cell: Cell, node: str = "a") -> str:
    cell.now += 1
    return cell.scheduler.heartbeat(Heartbeat(node, cell.epochs[node])).currents


def test_the_word_is_there_with_a_new_revision(cell: Cell) -> None:
    cell.nodes("a", "b")
    assert revision(cell) == "" and cell.scheduler.currents().jobs == {}
    seen = set()
    for job in ("j1", "j2", "j1"):
        cell.now += 1
        assert cell.scheduler.set_current("models/m", job)
        wanted = cell.scheduler.currents()
        assert wanted.jobs == {"models/m": job}
        assert revision(cell) == revision(cell, "b") == wanted.revision
        seen.add(wanted.revision)
    assert len(seen) == 3


def test_saying_the_same_again_is_no_news(cell: Cell) -> None:
    cell.nodes("a")
    assert cell.scheduler.set_current("m", "j1")
    before = revision(cell)
    cell.now += 1
    assert not cell.scheduler.set_current("m", "j1")
    assert revision(cell) == before


def test_the_word_can_be_taken_back(cell: Cell) -> None:
    cell.nodes("a")
    cell.scheduler.set_current("m", "j1")
    cell.scheduler.set_current("", "j2")
    before = revision(cell)
    cell.now += 1
    assert cell.scheduler.set_current("m", "")
    assert not cell.scheduler.set_current("m", "")
    assert cell.scheduler.currents().jobs == {"": "j2"}
    assert revision(cell) != before


def test_a_revision_that_was_lost_with_redis_is_never_given_again(cell: Cell) -> None:
    cell.nodes("a")
    cell.scheduler.set_current("m", "j1")
    before = revision(cell)
    cell.client.flushall()
    cell.now += 1
    cell.scheduler = Cell(cell.client).scheduler
    cell.scheduler._clock = lambda: cell.now
    cell.nodes("a")
    assert revision(cell) == ""
    cell.now += 1
    cell.scheduler.set_current("m", "j1")
    assert revision(cell) not in ("", before)


def test_a_revision_that_another_process_made_is_seen(cell: Cell) -> None:
    """What the server's Lua remembers of the cell counts only as long as nobody else changed it."""
    cell.nodes("a")
    revision(cell)
    other = Cell(cell.client)
    other.now = cell.now + 1
    other.scheduler.set_current("m", "j1")
    cell.now += 2
    assert revision(cell) == cell.scheduler.currents().revision != ""
