"""What calls leave in the server's Lua to be used again: nothing of a call, cell or start of a node shows in others."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
import redis as redis_py

from tests.scheduler.cell import JOB, KEY, PREFIX, Cell, broken, crc_of
from tests.simulation.model import NodeSpec
from tests.simulation.small_fleet import SmallFleet
from transfers.dataplane.tickets import check_ticket
from transfers.scheduler import Scheduler, scripts
from transfers.scheduler.decisions import Granted
from transfers.scheduler.types import Heartbeat, NodeInfo, Report


def start(cell: Cell, name: str, address: str, key: str = "secret") -> None:
    """A start of the node, at this address and with this key."""
    cell.epochs[name] = cell.scheduler.register(NodeInfo(name, address, key, download_slots=2), KEY).epoch


# --- texts of times


@pytest.mark.parametrize("functions", [True, False])
@pytest.mark.parametrize("lease_ms", [15_000, 1_500, 1_000])
@pytest.mark.parametrize("now", [0, 7, 999, 1_000, 1_070, 59_999, 1_000_000, 1_799_999_999_999])
def test_a_lease_ends_when_it_should(cell: Cell, now: int, lease_ms: int, functions: bool) -> None:
    cell.scheduler._scripts = scripts.Scripts(cell.client, PREFIX, functions=functions)
    cell.now = now
    cell.nodes("a", gcs=4)
    cell.job(["a"], shards=8, lease_ms=lease_ms)
    cell.holds("a")
    for step in (0, 1, 998, 1, 1_000, -500):  # within a second, into the next ones, and back by a clock that was set
        cell.now += step
        [lease] = cell.next("a").assignments
        assert lease.expires == math.ceil((cell.now + lease_ms) / 100) * 100  # a tenth of a second has one text
        cell.end("a", lease)


@pytest.mark.parametrize("fraction", [0.5, 0.0])
def test_a_clock_with_fractions_of_a_millisecond_does_not_end_leases_ages_ago(cell: Cell, fraction: float) -> None:
    cell.nodes("a", gcs=4, down=4)
    cell.job(["a"], shards=4)
    cell.holds("a")
    cell.next("a")  # in whole milliseconds, in the same second
    cell.now += fraction  # type: ignore[assignment]
    [lease] = cell.next("a").assignments
    assert lease.expires == (1_015_100 if fraction else 1_015_000)
    cell.now = 1_014_000
    assert cell.scheduler.reap().expired == 0


@pytest.mark.parametrize("key", ["secret", "k" * 64, "longer than a block of SHA-1, " * 3])
@pytest.mark.parametrize("now", [999, 1_000_000, 1_000_999, 1_009_999.5])
def test_a_ticket_is_good_for_ten_minutes_and_at_most_ten_seconds_more(cell: Cell, key: str, now: int) -> None:
    cell.now = now
    start(cell, "a", "a:1", key)
    start(cell, "b", "b:1")
    cell.job(["a", "b"])
    cell.holds("a", 0, 1, 2, 3)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    assert lease.ticket is not None
    check_ticket(key, lease.ticket, JOB, lease.shard, "b", now + 600_000)
    assert now + 600_000 <= int(lease.ticket.split(".")[0]) <= now + 610_000


def test_a_call_that_is_repeated_much_later_leaves_another_mark(cell: Cell) -> None:
    """Clients do repeat calls, with the same time and seed; by the mark is told whether anything happened since."""
    marks = set()
    for _ in range(2_002):
        cell.scheduler._scripts("tell", cell.now, 7)
        marks.add(cell.client.get(f"{PREFIX}stamp"))
    assert len(marks) == 2_002


def test_the_mark_starts_anew_before_it_is_too_great_for_lua(cell: Cell) -> None:
    cell.nodes("a", gcs=4)
    cell.job(["a"], shards=40)
    cell.holds("a")
    cell.client.set(f"{PREFIX}stamp", 2**52 - 2**32)
    assert cell.run("a") == 40
    assert 0 < int(cell.client.get(f"{PREFIX}stamp")) < 2**40
    view = cell.scheduler.job(JOB)
    assert view is not None and view.shards_held == 40


# --- where a node is


def test_who_comes_back_elsewhere_is_named_by_its_new_address_and_signs_with_its_new_key(cell: Cell) -> None:
    start(cell, "a", "here:1", "first")
    start(cell, "b", "b:1")
    cell.job(["a", "b"])
    cell.holds("a", 0, 1, 2, 3)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    assert lease.address == "here:1"
    start(cell, "a", "there:2", "second")
    cell.holds("a", 0, 1, 2, 3)
    cell.now += 20_000  # what was broken off by its end is tried again
    [lease] = cell.next("b").assignments
    assert lease.address == "there:2" and lease.ticket
    check_ticket("second", lease.ticket, JOB, lease.shard, "b", cell.now)


# --- records of transfers


def test_the_record_of_a_transfer_that_is_over_tells_nothing_of_it_to_the_next(cell: Cell) -> None:
    """Its bytes, how it was given, that it was nearly over: all that a record has beyond its first fields."""
    cell.nodes("a", "b", "c", up=2, down=2)
    cell.job(["a", "b", "c"], topology="pipeline")
    for name in ("a", "b", "c"):
        cell.holds(name)
    [first] = cell.next("a").assignments
    [forwarded] = cell.next("b").assignments
    assert forwarded.cut_through
    cell.scheduler.heartbeat(Heartbeat("b", cell.epochs["b"], {forwarded.lease: 7}))
    cell.next("b", Report(forwarded.lease, "ending"), want=0)
    cell.end("a", first)
    cell.end("b", forwarded)
    [plain] = cell.next("c").assignments
    assert (plain.source, plain.cut_through) == ("b", False)
    [view] = cell.scheduler.leases()
    assert (view.lease, view.node, view.source, view.bytes, view.ending) == (plain.lease, "c", "b", 0, False)
    cell.scheduler.reap()
    [grant] = [line for line in cell.scheduler.decisions(JOB) if getattr(line, "lease", "") == plain.lease]
    assert grant.why != "cut_through"  # type: ignore[union-attr]


def test_a_transfer_that_is_told_of_twice_in_one_call_ends_once(cell: Cell) -> None:
    cell.nodes("a", gcs=2, down=2)
    cell.job(["a"])
    cell.holds("a")
    first, second = cell.next("a", want=2).assignments
    report = Report(first.lease, "ok", crc_of(first.shard), bytes=10, ms=5)
    reply = cell.next("a", report, report, want=1)
    [third] = reply.assignments
    assert reply.stale == (first.lease,)
    assert sorted(x.lease for x in cell.scheduler.leases()) == sorted([second.lease, third.lease])


def test_what_one_call_notes_is_not_in_the_next_ones_reply(cell: Cell) -> None:
    cell.nodes("a", "b", gcs=2)
    cell.job(["a", "b"], shards=1)
    cell.holds("a")
    cell.holds("b")
    [lease] = cell.next("a").assignments
    reply = cell.end("a", lease)
    assert reply.finished == (JOB,) and reply.stale == ()
    reply = cell.end("a", lease)
    assert reply.finished == () and reply.stale == (lease.lease,)
    reply = cell.next("b", want=0)
    assert (reply.finished, reply.stale, reply.unsettled, reply.rejected) == ((), (), (), ())


# --- calls that break off


def give(cell: Cell) -> None:
    """Breaks off in the middle of a match, whose record is one that was used before."""
    with broken(cell.client, f"{PREFIX}due"), pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        cell.next("b")


def end(cell: Cell) -> None:
    """Breaks off at the end, with lines to be told, reports that were noted and fields to be written."""
    mine = [x for x in cell.scheduler.leases() if x.node == "a"]
    reports = [Report(x.lease, "ok", crc_of(x.shard), bytes=10, ms=5) for x in mine]
    assert len(reports) == 2
    with broken(cell.client, f"{PREFIX}events"), pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        cell.next("a", Report("99.0", "ok", 1, bytes=1, ms=1), *reports, want=0)


def begin(cell: Cell) -> None:
    """Breaks off before anything was read."""
    with broken(cell.client, f"{PREFIX}stamp"):
        cell.client.delete(f"{PREFIX}stamp")
        cell.client.lpush(f"{PREFIX}stamp", "x")
        with pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
            cell.next("a", want=0)


@pytest.mark.parametrize("functions", [True, False])
@pytest.mark.parametrize("break_off", [begin, give, end])
def test_a_call_that_breaks_off_leaves_nothing_to_the_next(
    cell: Cell, break_off: Callable[[Cell], None], functions: bool
) -> None:
    cell.scheduler._scripts = scripts.Scripts(cell.client, PREFIX, functions=functions)
    cell.nodes("a", "b", gcs=2, down=2)
    cell.job(["a", "b"], shards=6)
    cell.holds("a")
    cell.holds("b")
    [over] = cell.next("a").assignments
    cell.end("a", over)  # its record is there to be used again
    cell.next("a", want=2)
    under_way = {x.lease for x in cell.scheduler.leases()}
    told = cell.client.xlen(f"{PREFIX}events")
    break_off(cell)
    other = Scheduler(cell.client, "other", clock=lambda: cell.now, random=random.Random(1))
    other.set_draining("nobody", True)  # another cell's call comes between
    reply = cell.next("b", want=0)
    assert (reply.assignments, reply.stale, reply.finished) == ((), (), ())
    brought = break_off is end and functions  # what it had counted by then is told by the call after it
    assert cell.client.xlen(f"{PREFIX}events") == told + brought and not cell.client.exists("{fdist:other}:events")
    assert {x.lease for x in cell.scheduler.leases()} == under_way
    assert cell.node("a").gcs_reads == 2 and cell.node("a").downloads == 0
    for view in cell.scheduler.leases():
        shard = Report(view.lease, "ok", crc_of(view.shard), bytes=10, ms=5)
        assert cell.next("a", shard, want=0).stale == ()
    assert cell.run("a", "b") == 9
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete"
    assert [n.gcs_reads + n.downloads + n.uploads for n in cell.scheduler.nodes()] == [0, 0]
    came = [(x.fields["node"], x.fields["shard"]) for x in cell.scheduler.events("0") if x.kind == "done"]
    assert len(came) == len(set(came)) == (12 if functions or break_off is not end else 10)


# --- several cells on one server


@pytest.mark.parametrize("cells", [2, 9])
def test_cells_of_one_server_know_nothing_of_each_other(redis: redis_py.Redis, cells: int) -> None:
    """Call by call in turn, nodes and jobs of the same names; nine are more than the server's Lua remembers at once."""
    fleets = [SmallFleet(redis, seed=k, cell=f"cell-{k}") for k in range(cells)]
    for k, fleet in enumerate(fleets):
        for name in ("a", "b", "c"):
            fleet.register(fleet.add(NodeSpec(name, upload_slots=2, download_slots=2)))
        fleet.create(5 + k, ["a", "b", "c"], gcs_slots=2)
    for _ in range(40):
        for name in ("a", "b", "c"):
            for fleet in fleets:
                fleet.work(fleet.members[name])
        for fleet in fleets:
            fleet.now += 10
            fleet.check()
    for k, fleet in enumerate(fleets):
        assert fleet.unfinished() == []
        [job] = fleet.jobs
        view = fleet.scheduler.job(job)
        assert view is not None and (view.state, view.shards_held) == ("complete", 3 * (5 + k))
        grants = [line.lease for line in fleet.scheduler.decisions(job) if isinstance(line, Granted)]
        assert len(grants) == len(set(grants)) == view.shards_held
        told = [event.fields["job"] for event in fleet.scheduler.events("0") if event.kind == "done"]
        assert told == [job] * view.shards_held
