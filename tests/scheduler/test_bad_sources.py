"""A source of damaged bytes serves no more until it starts anew, and what only it holds comes from the bucket again."""

from __future__ import annotations

import pytest

from tests.scheduler.cell import JOB, Cell, crc_of
from transfers.scheduler.types import GCS, Outcome


def corrupt(cell: Cell, node: str, times: int = 1) -> None:
    """The node gets damaged bytes from whoever serves it."""
    for _ in range(times):
        cell.now += 20_000
        cell.beat("bad", "a", "b")
        [lease] = cell.next(node).assignments
        assert lease.source == "bad"
        cell.end(node, lease, "corrupt")


def bar_the_only_holder(cell: Cell) -> None:
    """Of a job's one shard, which two others lack."""
    cell.nodes("bad", "a", "b")
    cell.job(["bad", "a", "b"], shards=1)
    cell.holds("bad", 0)
    cell.holds("a")
    cell.holds("b")
    corrupt(cell, "a", 2)
    corrupt(cell, "b")


def bar_one_of_two_holders(cell: Cell, *others: str, topology: str = "mesh") -> None:
    """Of a job's two shards it has the first; who had the second has left."""
    cell.nodes("bad", "a", *others)
    cell.job(["bad", "a", *others], shards=2, topology=topology)
    cell.holds("bad", 0)
    cell.holds("a", 1)
    for _ in range(3):
        cell.now += 20_000
        cell.beat("bad", "a", *others)
        [lease] = cell.next("a").assignments
        cell.end("a", lease, "corrupt")
    assert cell.node("bad").barred
    cell.scheduler.leave("a")


def test_a_source_that_sent_damaged_bytes_thrice_serves_no_more(cell: Cell) -> None:
    bar_the_only_holder(cell)
    assert cell.node("bad").barred
    assert cell.scheduler.rarity(JOB) == [0]
    [again] = cell.next("a").assignments
    assert again.source == GCS
    cell.end("a", again)
    assert [each.source for each in [*cell.inbox("b"), *cell.next("b").assignments]] == ["a"]
    assert [event.fields["node"] for event in cell.scheduler.events("0") if event.kind == "barred"] == ["bad"]


def test_a_barred_source_is_told_to_verify_and_starts_anew_with_a_clean_record(cell: Cell) -> None:
    cell.nodes("bad", "a", "b")
    cell.job(["bad", "a", "b"], shards=1)
    cell.holds("bad", 0)
    cell.holds("a")
    corrupt(cell, "a", 3)
    assert cell.node("bad").barred
    cell.now += 1
    cell.nodes("bad")
    cell.holds("bad", 0)
    assert not cell.node("bad").barred
    assert cell.scheduler.rarity(JOB) == [1]


def test_one_receiver_cannot_bar_the_whole_fleet(cell: Cell) -> None:
    sources = ["s1", "s2", "s3", "s4"]
    cell.nodes(*sources, "a")
    cell.job([*sources, "a"], shards=1)
    for source in sources:
        cell.holds(source, 0)
    cell.holds("a")
    for _ in range(30):
        cell.now += 40_000
        cell.beat(*sources, "a")
        cell.scheduler.reap()
        given = [*cell.inbox("a"), *cell.next("a").assignments]
        for lease in given:
            cell.end("a", lease, "corrupt")
    assert sum(cell.node(source).barred for source in sources) <= 2


def test_what_a_barred_node_holds_still_counts_for_itself(cell: Cell) -> None:
    cell.nodes("bad", "a", "b")
    cell.job(["bad", "a", "b"], shards=1)
    cell.holds("bad", 0)
    cell.holds("a")
    corrupt(cell, "a", 3)
    cell.scheduler.finish(JOB, "bad", cell.epochs["bad"])
    view = cell.scheduler.job(JOB)
    assert view is not None and view.nodes_done == 1


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_a_barred_node_goes_on_reading_what_it_lacks_though_others_lack_what_it_has(cell: Cell, topology: str) -> None:
    bar_one_of_two_holders(cell, topology=topology)
    assert [(each.shard, each.source) for each in cell.next("bad").assignments] == [(1, GCS)]


def test_what_a_barred_node_reads_once_more_is_still_to_be_had_from_the_bucket(cell: Cell) -> None:
    """It disputes what it holds and is the one to read it: its copy counts for itself alone, before and after."""
    bar_the_only_holder(cell)
    cell.scheduler.dispute(JOB, "bad", cell.epochs["bad"], 0, [0], {0: crc_of(0)})
    [again] = cell.next("bad").assignments
    assert again.confirm
    cell.end("bad", again)
    [lease] = [*cell.inbox("a"), *cell.next("a").assignments]
    assert (lease.shard, lease.source) == (0, GCS)


@pytest.mark.parametrize("outcome", ["failed", "ok"])
def test_what_a_barred_node_announces_while_it_reads_it_is_still_to_be_had_from_the_bucket(
    cell: Cell, outcome: Outcome
) -> None:
    bar_one_of_two_holders(cell, "b")
    [lease] = cell.next("bad").assignments
    assert (lease.shard, lease.source) == (1, GCS)
    cell.holds("bad", 0, 1)
    cell.end("bad", lease, outcome)
    cell.holds("b")
    assert cell.run("b") == 2
