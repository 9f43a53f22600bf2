"""What goes wrong in a fleet: deaths, late joiners, lost Redis, bad first reads, slow and dead predecessors."""

from __future__ import annotations

from tests.scheduler.cell import JOB, Cell
from transfers.scheduler.types import GCS, Heartbeat, Report


def test_a_dead_node_is_discounted_and_does_not_block_the_job(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=2)
    cell.holds("a", 0, 1)
    cell.holds("b", 0)
    cell.scheduler.finish(JOB, "a", cell.epochs["a"])
    cell.now += 20_000
    cell.beat("a")
    assert cell.scheduler.reap().died == ("b",)
    assert cell.scheduler.rarity(JOB) == [1, 1]
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete"


def test_a_node_that_comes_back_after_the_job_was_complete_gets_the_rest(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=3)
    cell.holds("a", 0, 1, 2)
    cell.holds("b", 0)
    cell.scheduler.finish(JOB, "a", cell.epochs["a"])
    cell.now += 20_000
    cell.beat("a")
    cell.scheduler.reap()
    cell.nodes("b")
    cell.holds("b", 0)
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "running"
    assert cell.run("b") == 2
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete" and view.nodes_done == 2


def test_why_a_node_failed_can_be_read(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1)
    cell.holds("a")
    cell.scheduler.finish(JOB, "a", cell.epochs["a"], "the disk is full")
    assert {each.node: each.why for each in cell.scheduler.job_nodes(JOB)} == {"a": "the disk is full", "b": ""}


def test_a_shard_whose_last_holder_died_is_fetched_again(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1)
    cell.holds("a", 0)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    assert lease.source == "a"
    cell.now += 20_000
    cell.beat("b")
    cell.scheduler.reap()
    given = [*cell.inbox("b"), *cell.next("b").assignments]
    assert [each.source for each in given] == [GCS]


def test_a_late_joiner_gets_the_job(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"], shards=3)
    cell.holds("a")
    cell.run("a")
    cell.nodes("late")
    cell.scheduler.enrol(JOB, ["late"])
    cell.holds("late")
    assert cell.run("late") == 3
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete" and view.nodes_done == 2 and view.bytes_gcs == 30


def test_a_stalled_transfer_expires_and_its_receiver_is_told(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1, lease_ms=3_000)
    cell.holds("a", 0)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    cell.now += 2_000
    cell.scheduler.heartbeat(Heartbeat("b", cell.epochs["b"], progress={lease.lease: 5}))
    cell.beat("a")
    cell.now += 2_000
    assert cell.scheduler.reap().expired == 0
    cell.beat("a", "b")
    cell.now += 2_000
    assert cell.scheduler.reap().expired == 1
    reply = cell.scheduler.heartbeat(Heartbeat("b", cell.epochs["b"], progress={lease.lease: 5}))
    assert lease.lease in reply.cancelled
    assert cell.node("a").uploads == 0


def test_after_a_flush_nothing_that_is_held_moves_again(cell: Cell) -> None:
    names = ["a", "b", "c"]
    cell.nodes(*names)
    cell.job(names, shards=6)
    for name in names:
        cell.holds(name)
    cell.run(*names)
    cell.client.flushall()
    assert not cell.scheduler.heartbeat(Heartbeat("a", cell.epochs["a"])).known
    cell = Cell(cell.client)
    cell.job(names, shards=6)
    cell.nodes(*names)
    for name in names:
        cell.holds(name, *range(6))
    assert cell.run(*names) == 0
    assert cell.scheduler.rarity(JOB) == [3] * 6


def bad_first_read(cell: Cell) -> None:
    """The one shard, which is 1000, was read as 666: "a" and "b" hold that."""
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1)
    cell.holds("a")
    cell.holds("b")
    [lease] = cell.next("a").assignments
    cell.next("a", Report(lease.lease, "ok", 666, bytes=10), want=0)
    [copy] = cell.next("b").assignments
    cell.next("b", Report(copy.lease, "ok", 666, bytes=10), want=0)


def test_a_bad_first_read_is_found_by_reading_the_suspects_again(cell: Cell) -> None:
    bad_first_read(cell)
    assert cell.scheduler.dispute(JOB, "b", cell.epochs["b"], 0, [0], {0: 666}).state == "confirming"
    [confirm] = cell.next("b").assignments
    assert confirm.confirm and confirm.source == GCS and confirm.digest is None
    cell.end("b", confirm)
    orders = cell.scheduler.heartbeat(Heartbeat("a", cell.epochs["a"])).orders
    assert {"op": "drop", "job": JOB, "shards": [0]} in list(orders)
    [again] = cell.next("a").assignments
    assert again.source == "b" and again.digest == 1000


def test_a_node_that_has_not_dropped_its_wrong_copy_yet_starts_no_second_dispute(cell: Cell) -> None:
    bad_first_read(cell)
    cell.scheduler.dispute(JOB, "b", cell.epochs["b"], 0, [0], {0: 666})
    cell.end("b", cell.next("b").assignments[0])  # read again: it is 1000
    late = cell.scheduler.dispute(JOB, "a", cell.epochs["a"], 0, [0], {0: 666})
    assert late.state == "confirming" and late.suspects == ()
    assert [event.kind for event in cell.scheduler.events("0")].count("disputed") == 1


def test_a_file_that_stays_wrong_fails_the_job(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"], shards=1, max_disputes=0)
    cell.holds("a", 0)
    assert cell.scheduler.dispute(JOB, "a", cell.epochs["a"], 0, [0], {0: 1000}).state == "failed"
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "failed" and "checksum" in view.reason


def test_why_a_transfer_failed_is_told_as_it_was_said(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"])
    cell.holds("a")
    [lease] = cell.next("a").assignments
    why = "a reason\twith tabs\nand a line of its own"
    cell.next("a", Report(lease.lease, "failed", bytes=3, ms=5, why=why), want=0)
    [event] = [each for each in cell.scheduler.events("0") if each.kind == "failed"]
    assert event.at == cell.now and event.fields["why"] == why and event.fields["bytes"] == "3"


def chain(cell: Cell, *names: str, shards: int = 20) -> None:
    cell.nodes(*names, up=2, down=2)
    cell.job(names, shards=shards, topology="pipeline")
    for name in names:
        cell.holds(name)


def test_a_pipeline_reads_the_bucket_once_and_each_node_its_predecessor(cell: Cell) -> None:
    chain(cell, "a", "b", "c", shards=5)
    assert cell.run("a", "b", "c") == 15
    sources = {
        (event.fields["node"], event.fields["source"]) for event in cell.scheduler.events("0") if event.kind == "done"
    }
    assert sources == {("a", ""), ("b", "a"), ("c", "b")}


def test_a_dead_predecessor_is_spliced_out_of_the_chain(cell: Cell) -> None:
    chain(cell, "a", "b", "c")
    [first] = cell.next("a").assignments
    cell.next("b")
    cell.next("c")
    cell.end("a", first)
    cell.now += 20_000
    cell.beat("a", "c")
    assert cell.scheduler.reap().died == ("b",)
    sources = {each.source for each in [*cell.inbox("c"), *cell.next("c").assignments]}
    assert sources == {"a"}


def test_one_failed_transfer_does_not_keep_a_node_from_its_only_predecessor(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=2, topology="pipeline")
    cell.holds("a", 0, 1)
    cell.holds("b")
    (lease,) = cell.next("b").assignments
    assert (lease.source, lease.cut_through) == ("a", False)
    assert cell.end("b", lease, "failed", want=1).assignments == ()
    cell.now += 300
    (again,) = cell.next("b").assignments
    assert (again.shard, again.source) == (lease.shard, "a")
    assert cell.end("b", again, "failed", want=1).assignments == ()
    cell.now += 300
    assert cell.next("b").assignments == ()  # the second failure in a row is no mishap


def test_a_slow_predecessor_is_moved_to_the_end_while_the_job_runs(cell: Cell) -> None:
    chain(cell, "a", "b", "c")
    cell.scheduler.reap()
    cell.holds("a", *range(10))
    cell.holds("b", 0)
    cell.now += 4_000
    cell.beat("a", "b", "c")
    assert cell.scheduler.reap().moved == ("b",)
    order = [view.node for view in cell.scheduler.job_nodes(JOB)]
    assert order == ["a", "c", "b"]
    [lease] = cell.next("c").assignments
    assert lease.source == "a"
