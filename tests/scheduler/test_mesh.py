"""The mesh: rarest first, peers before the bucket, slots that are freed at once."""

from __future__ import annotations

import pytest

from tests.scheduler.cell import JOB, Cell
from transfers.errors import NotEnrolled, StaleNode
from transfers.scheduler.types import GCS, NodeInfo, Report


def test_a_job_ends_with_each_shard_read_from_the_bucket_once(cell: Cell) -> None:
    names = [f"n{i}" for i in range(6)]
    cell.nodes(*names)
    cell.job(names, shards=12)
    for name in names:
        cell.holds(name)
    assert cell.run(*names) == 6 * 12
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete"
    assert view.bytes_gcs == 120 and view.bytes_peer == 5 * 120


def test_a_shard_with_a_live_copy_comes_from_a_peer(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1)
    cell.holds("a", 0)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    assert lease.source == "a" and lease.ticket and lease.digest == 1000


def test_the_rarest_shard_goes_first(cell: Cell) -> None:
    cell.nodes("a", "d")
    cell.nodes("b", "c", up=0)
    cell.job(["a", "b", "c", "d"], shards=3)
    cell.holds("a", 0, 1, 2)
    cell.holds("b", 0, 2)
    cell.holds("c", 0, 2)
    cell.holds("d")
    [lease] = cell.next("d").assignments
    assert lease.shard == 1


def test_what_came_to_a_source_last_goes_next_when_it_has_none_of_the_rarest(cell: Cell) -> None:
    """It is still spreading. The rarest sixteen, which only others hold, come before all else."""
    rare, common = range(16), range(16, 60)
    cell.nodes("rare", up=0)
    cell.nodes("common", up=0)
    cell.nodes("a", up=4)
    cell.nodes("b", down=8, gcs=0)
    cell.job(["rare", "common", "a", "b"], shards=60, gcs_slots=0)
    cell.holds("rare", *rare)
    cell.holds("common", *common)
    cell.holds("a", *common[:-2])
    for shard in common[-2:]:
        cell.holds("a", shard)
    cell.holds("b")
    assert [lease.shard for lease in cell.next("b", want=2).assignments] == [59, 58]
    cell.holds("a", 3)
    assert [lease.shard for lease in cell.next("b", want=1).assignments] == [3]


def test_the_bucket_is_read_by_no_more_than_its_slots(cell: Cell) -> None:
    names = [f"n{i}" for i in range(5)]
    cell.nodes(*names)
    cell.job(names, shards=20, gcs_slots=2)
    for name in names:
        cell.holds(name)
    given = [a for name in names for a in cell.next(name).assignments]
    assert [a.source for a in given] == [GCS, GCS]


def test_a_failed_read_gives_the_only_bucket_slot_back_at_once(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=2, gcs_slots=1)
    cell.holds("a")
    cell.holds("b")
    [lease] = cell.next("a").assignments
    assert cell.next("b").parked
    cell.end("a", lease, "failed")
    [again] = cell.inbox("b")
    assert again.source == GCS
    view = cell.scheduler.job(JOB)
    assert view is not None and view.gcs_used == 1


def test_a_failed_transfer_frees_both_slots_at_once(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1)
    cell.holds("a", 0)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    assert cell.node("a").uploads == 1 and cell.node("b").downloads == 1
    cell.end("b", lease, "failed")
    assert cell.node("a").uploads == 0 and cell.node("b").downloads == 0


def test_a_repeated_call_changes_nothing_and_gives_the_first_reply(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"], shards=3)
    cell.holds("a")
    first = cell.next("a", request_id="r1")
    assert cell.next("a", request_id="r1") == first
    assert cell.node("a").gcs_reads == 1
    report = Report(first.assignments[0].lease, "ok", 1000, bytes=10)
    done = cell.next("a", report, request_id="r2")
    assert cell.next("a", report, request_id="r2") == done
    view = cell.scheduler.job(JOB)
    assert view is not None and view.shards_held == 1 and view.bytes_gcs == 10


def test_a_member_is_shown_as_ready_moving_waiting_or_done(cell: Cell) -> None:
    def states() -> list[str]:
        return [each.state for each in cell.scheduler.job_nodes(JOB)]

    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1)
    cell.holds("b")
    assert states() == ["enrolled", "ready"]
    cell.holds("a")
    [lease] = cell.next("a").assignments
    assert cell.next("b").parked and states() == ["moving", "waiting"]
    cell.end("a", lease)
    assert states() == ["ready", "moving"]
    cell.scheduler.finish(JOB, "a", cell.epochs["a"])
    [lease] = cell.inbox("b")
    cell.end("b", lease, "failed")
    assert states() == ["done", "ready"]
    cell.now += 20_000
    assert cell.run("b") == 1 and states() == ["done", "done"]


@pytest.mark.parametrize("lost", [False, True], ids=["remembered", "read anew"])
def test_what_was_told_outlives_what_changes_behind_it(cell: Cell, lost: bool) -> None:
    cell.nodes("a", "b", down=2)
    cell.job(["a", "b"], shards=2, gcs_slots=1)
    cell.holds("b")
    first = cell.next("b", want=2, request_id="r1")
    assert first.parked and len(first.assignments) == 1
    cell.holds("a", 0, 1)  # and b is given the other one while it waits
    assert len([x for x in cell.scheduler.leases() if x.node == "b"]) == 2
    if lost:
        cell.client.delete("{fdist:main}:stamp")
    repeated = cell.next("b", want=2, request_id="r1")
    assert repeated.parked and [x.lease for x in repeated.assignments] == [x.lease for x in first.assignments]
    again = cell.next("b", want=0, request_id="r")  # another request, though its name is how that one's begins
    assert [x.lease for x in again.assignments] != [x.lease for x in first.assignments] and not again.parked


def test_a_parked_node_is_served_when_a_slot_becomes_free(cell: Cell) -> None:
    cell.nodes("a", "b", "c")
    cell.job(["a", "b", "c"], shards=1)
    cell.holds("a", 0)
    cell.holds("b")
    cell.holds("c")
    [lease] = cell.next("b").assignments
    assert cell.next("c").parked
    cell.end("b", lease)
    [handed] = cell.inbox("c")
    assert handed.source in ("a", "b")


def test_bytes_with_another_digest_are_not_counted(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=1)
    cell.holds("a", 0)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    reply = cell.next("b", Report(lease.lease, "ok", 666, bytes=10), want=0)
    assert reply.rejected == (lease.lease,)
    assert cell.scheduler.rarity(JOB) == [1]


def test_a_node_that_lacks_a_shard_is_never_counted_as_done(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"], shards=2)
    cell.holds("a", 0)
    assert not cell.scheduler.finish(JOB, "a", cell.epochs["a"])
    view = cell.scheduler.job(JOB)
    assert view is not None and view.nodes_done == 0 and view.state == "running"
    cell.holds("a", 0, 1)
    assert cell.scheduler.finish(JOB, "a", cell.epochs["a"])
    assert cell.scheduler.finish(JOB, "a", cell.epochs["a"]), "told twice"


def test_a_job_of_higher_priority_is_served_first(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"], job="low", shards=1)
    cell.job(["a"], job="high", shards=1, priority=5)
    cell.holds("a", job="low")
    cell.holds("a", job="high")
    assert [each.job for each in cell.next("a").assignments] == ["high"]


def test_cancelling_frees_every_slot_and_tells_the_nodes(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=4)
    cell.holds("a", 0)
    cell.holds("b")
    leases = cell.next("b", want=2).assignments
    cell.scheduler.cancel(JOB, "no longer wanted")
    assert cell.node("a").uploads == 0 and cell.node("b").downloads == 0 and cell.node("b").gcs_reads == 0
    assert cell.scheduler.leases() == []
    from transfers.scheduler.types import Heartbeat

    reply = cell.scheduler.heartbeat(Heartbeat("b", cell.epochs["b"]))
    assert set(reply.cancelled) == {each.lease for each in leases}
    assert {"op": "cancel", "job": JOB} in list(reply.orders)


def test_a_paused_job_moves_nothing_until_it_goes_on(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"], shards=1)
    cell.holds("a")
    cell.scheduler.set_state(JOB, "paused")
    assert cell.next("a").parked
    cell.scheduler.set_state(JOB, "running")
    assert len(cell.inbox("a")) == 1


def test_a_node_without_a_valid_key_cannot_register(cell: Cell) -> None:
    with pytest.raises(NotEnrolled):
        cell.scheduler.register(NodeInfo("x", "x:1", "secret"), "wrong")


def test_forgetting_a_job_leaves_no_key_of_it(cell: Cell) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"], shards=5)
    cell.holds("a", 0, 1)
    cell.scheduler.cancel(JOB)
    cell.scheduler.forget(JOB)
    assert [key for key in cell.client.keys("*") if b"j:" + JOB.encode() in key] == []


def test_an_earlier_start_of_a_node_is_refused(cell: Cell) -> None:
    cell.nodes("a")
    cell.job(["a"], shards=1)
    old = cell.epochs["a"]
    cell.now += 1
    cell.nodes("a")
    with pytest.raises(StaleNode):
        cell.scheduler.next("a", old)


def test_a_jobs_own_limits_hold_for_each_node(cell: Cell) -> None:
    cell.nodes("a", "b", "c", up=4, down=4)
    cell.job(["a", "b", "c"], shards=8, upload_slots=1, download_slots=1)
    cell.holds("a", *range(8))
    cell.holds("b")
    cell.holds("c")
    [lease] = cell.next("b", want=4).assignments
    assert lease.source == "a"
    assert cell.next("c", want=4).assignments == ()
    assert cell.node("a").uploads == 1 and cell.node("b").downloads == 1
    cell.end("b", lease)
    assert cell.run("a", "b", "c") == 15


def test_what_only_one_node_has_goes_to_several_as_different_shards(cell: Cell) -> None:
    cell.nodes("a", "b", "c", "d", up=3, gcs=0)
    cell.job(["a", "b", "c", "d"], shards=8)
    cell.holds("a", *range(8))
    for name in ("b", "c", "d"):
        cell.holds(name)
    given = [lease.shard for name in ("b", "c", "d") for lease in cell.next(name).assignments]
    assert len(set(given)) == 3
