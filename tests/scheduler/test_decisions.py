"""Why who got what from whom can be asked afterwards; budgets and quorums hold; slots are given on before the end."""

from __future__ import annotations

import random

import pytest
import redis as redis_py

from tests.scheduler.cell import JOB, Cell, crc_of
from tests.simulation.replay import replay
from tests.simulation.scenarios import make
from tests.simulation.world import World
from transfers.scheduler import Scheduler
from transfers.scheduler.decisions import Ended, Granted, Waited
from transfers.scheduler.types import Report


def three(cell: Cell, shards: int = 4, **spec: object) -> None:
    cell.nodes("a", "b", "c")
    cell.job(["a", "b", "c"], shards=shards, **spec)
    for name in ("a", "b", "c"):
        cell.holds(name)


def test_a_grant_is_logged_with_its_source_and_why(cell: Cell) -> None:
    three(cell, gcs_slots=1)
    [lease] = cell.next("a").assignments
    assert cell.next("b").parked
    cell.end("a", lease)
    cell.scheduler.reap()
    log = cell.scheduler.decisions(JOB)
    first, waited, ended, second = log[0], log[1], log[2], log[3]
    assert isinstance(first, Granted) and (first.node, first.source, first.copies, first.why) == ("a", "", 0, "asked")
    assert isinstance(waited, Waited) and (waited.node, waited.reads, waited.fresh) == ("b", 0, 3)
    assert isinstance(ended, Ended) and ended.lease == lease.lease and ended.brought
    assert isinstance(second, Granted) and second.node == "b" and second.why in ("freed", "bucket")
    assert "b waited for 1 more" in str(waited) and "from the bucket" in str(first)


def test_a_whole_runs_log_can_be_played_again(redis: redis_py.Redis) -> None:
    world = World(redis, make("one-reader", 3, 0.1), 3)
    world.run()
    world.scheduler.reap()
    [job] = world.jobs
    again = replay(world.scheduler.decisions(job))
    assert again.granted == world.ledger.count["assignments"] and not again.wrong
    assert again.from_bucket == world.ledger.count["from_bucket"]
    assert again.brought == len(world.agents) * world.jobs[job].spec.shard_count
    assert len(again.moves) == again.granted and again.waits


def test_the_log_keeps_the_newest_lines_only(cell: Cell) -> None:
    three(cell)
    key = "{fdist:main}:j:j1:log"
    cell.client.rpush(key, *["f 1 1.0"] * 20_500)
    [lease] = cell.next("a").assignments
    cell.end("a", lease)
    cell.scheduler.reap()
    assert cell.client.llen(key) == 10_000
    assert isinstance(cell.scheduler.decisions(JOB)[-1], Ended)


def test_a_job_fails_before_it_reads_more_of_the_bucket_than_its_budget(cell: Cell) -> None:
    three(cell, gcs_slots=1, gcs_budget=45)
    [lease] = cell.next("a").assignments
    reply = cell.end("a", lease, outcome="failed")
    cell.now += 1000
    cell.run("a", "b", "c")
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "failed" and "budget of 45 bytes" in view.reason
    assert view.bytes_gcs <= 45 and not cell.scheduler.leases()
    assert not reply.assignments


def test_a_budget_of_the_payload_suffices_when_nothing_fails(cell: Cell) -> None:
    three(cell, shards=5, gcs_budget=48, size=48)
    assert cell.run("a", "b", "c") == 15
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete"


def test_a_quorum_is_told_once_and_the_others_go_on(cell: Cell) -> None:
    three(cell, quorum=0.6)
    cell.run("a", "b")
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "running" and view.nodes_done == 2
    kinds = [event.kind for event in cell.scheduler.events("0")]
    assert kinds.count("job_ready") == 1
    cell.run("c")
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete" and view.nodes_done == 3


def test_a_transfer_that_is_nearly_over_gives_its_slots_to_the_next(cell: Cell) -> None:
    three(cell)
    cell.holds("a", 0, 1, 2, 3)
    [first] = cell.next("b").assignments
    assert cell.next("c").parked and not cell.inbox("c")
    reply = cell.next("b", Report(first.lease, "ending"))
    [second] = reply.assignments or cell.inbox("c")
    assert second.source == "a"
    assert cell.node("a").uploads == 1
    assert [x.ending for x in cell.scheduler.leases() if x.lease == first.lease] == [True]
    cell.end("b", first)
    assert cell.node("a").uploads == 1 and len(cell.scheduler.held(JOB, "b").strip(b"\0")) == 1


def test_an_ending_transfer_that_fails_after_all_is_wanted_again(cell: Cell) -> None:
    three(cell)
    cell.holds("a", 0, 1, 2, 3)
    [lease] = cell.next("b").assignments
    cell.next("b", Report(lease.lease, "ending"), want=0)
    cell.end("b", lease, outcome="failed")
    cell.now += 20_000
    cell.beat("a", "b", "c")
    assert cell.run("b", "c") == 8


@pytest.mark.parametrize("lost", ["stamp", "everything", "nothing"])
def test_what_is_remembered_between_calls_is_dropped_with_the_data(cell: Cell, lost: str) -> None:
    """Two copies of a cell are swapped under the scheduler, as when another master takes over.

    Where nothing is lost, another version of the scripts has made a call meanwhile.
    """
    three(cell)
    [lease] = cell.next("a").assignments
    saved = {key: cell.client.dump(key) for key in cell.client.scan_iter()}
    cell.end("a", lease)
    if lost == "everything":
        cell.client.flushdb()
        for key, value in saved.items():
            cell.client.restore(key, 0, value)
    elif lost == "stamp":
        cell.client.delete("{fdist:main}:stamp")
    else:
        cell.client.incrby("{fdist:main}:stamp", 7)
    view = cell.scheduler.job(JOB)
    assert view is not None and view.shards_held == (0 if lost == "everything" else 1)
    assert cell.node("a").gcs_reads == (1 if lost == "everything" else 0)
    cell.end("a", lease)
    cell.run("a", "b", "c")
    view = cell.scheduler.job(JOB)
    assert view is not None and view.shards_held == 12


def test_two_callers_with_libraries_of_their_own_share_a_cell(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of fdist that differ remember apart from each other; each sees what the other did."""
    from transfers.scheduler import scripts

    three(cell)
    other = Scheduler(cell.client, clock=lambda: cell.now, random=random.Random(9))
    other._scripts._functions = False  # plain scripts, which remember nothing
    [lease] = cell.next("a").assignments
    report = Report(lease.lease, "ok", crc_of(lease.shard), bytes=10, ms=5)
    other.next("a", cell.epochs["a"], [report], want=0)
    assert cell.scheduler.job(JOB).shards_held == 1  # type: ignore[union-attr]
    assert cell.next("a", report, want=0).stale == (lease.lease,)
    assert cell.run("a", "b", "c") == 11
    assert scripts.names()
