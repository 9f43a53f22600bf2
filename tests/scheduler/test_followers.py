"""Where shards have copies in plenty a node is given two from one source: the second follows the first in its slots."""

from __future__ import annotations

import pytest

from tests.scheduler.cell import JOB, PREFIX, Cell, crc_of
from tests.simulation import invariants
from transfers.scheduler.decisions import Granted
from transfers.scheduler.types import Assignment, Heartbeat, Report

HOLDERS = [f"h{k}" for k in range(64)]
SHARDS = 16


@pytest.fixture
def plenty(cell: Cell) -> Cell:
    """Nodes a and b lack everything that 64 others hold."""
    cell.nodes(*HOLDERS, "a", "b")
    cell.job([*HOLDERS, "a", "b"], shards=SHARDS)
    for name in (*HOLDERS, "a", "b"):
        cell.holds(name, *(range(SHARDS) if name in HOLDERS else ()))
    return cell


def ok(lease: Assignment) -> Report:
    return Report(lease.lease, "ok", crc_of(lease.shard), bytes=10, ms=5)


def assert_sound(cell: Cell) -> None:
    assert not invariants.slots(cell.scheduler.nodes(), cell.scheduler.leases())


def slots(cell: Cell, source: str) -> tuple[int, int]:
    """Slots taken: of the source for upload, of a for download."""
    assert_sound(cell)
    return cell.node(source).uploads, cell.node("a").downloads


def shards_of(cell: Cell, node: str) -> set[int]:
    held = cell.scheduler.held(JOB, node)
    return {shard for shard in range(SHARDS) if len(held) > shard // 8 and held[shard // 8] >> (7 - shard % 8) & 1}


def test_two_shards_come_from_one_source_in_one_answer(plenty: Cell) -> None:
    first, second = plenty.next("a").assignments
    assert first.source == second.source and first.shard != second.shard
    assert not first.follows and second.follows == first.lease
    assert slots(plenty, first.source) == (1, 1)
    views = {view.lease: view for view in plenty.scheduler.leases()}
    assert views[second.lease].follows == first.lease and not views[first.lease].follows


def test_both_may_be_told_at_once(plenty: Cell) -> None:
    first, second = plenty.next("a").assignments
    plenty.next("a", ok(first), ok(second), want=0)
    assert slots(plenty, first.source) == (0, 0) and not plenty.scheduler.leases()
    assert shards_of(plenty, "a") == {first.shard, second.shard}


def test_the_second_has_the_slots_of_the_first_when_that_is_told_alone(plenty: Cell) -> None:
    first, second = plenty.next("a").assignments
    plenty.now += 14_000
    plenty.next("a", ok(first), want=0)
    [view] = plenty.scheduler.leases()
    assert view.lease == second.lease and not view.follows and view.expires > plenty.now + 14_000
    assert slots(plenty, first.source) == (1, 1)
    plenty.next("a", ok(second), want=0)
    assert slots(plenty, first.source) == (0, 0)


def test_the_second_has_no_time_of_its_own_until_then(plenty: Cell) -> None:
    """It waits for as long as the first goes on."""
    first, second = plenty.next("a").assignments
    for bytes_come in range(1, 4):
        plenty.now += 10_000
        progress = {first.lease: bytes_come, second.lease: 0}
        reply = plenty.scheduler.heartbeat(Heartbeat("a", plenty.epochs["a"], progress))
        assert not reply.cancelled
        plenty.beat(*HOLDERS, "b")
        assert not plenty.scheduler.reap().expired
    assert {view.lease for view in plenty.scheduler.leases()} == {first.lease, second.lease}


@pytest.mark.parametrize("outcome", ["failed", "corrupt", "cancelled"])
def test_the_second_goes_with_a_first_that_fails(plenty: Cell, outcome: str) -> None:
    first, second = plenty.next("a").assignments
    plenty.next("a", Report(first.lease, outcome, None, bytes=3, ms=5, why="test"), want=0)  # type: ignore[arg-type]
    assert not plenty.scheduler.leases() and slots(plenty, first.source) == (0, 0)
    assert second.lease in plenty.scheduler.heartbeat(Heartbeat("a", plenty.epochs["a"])).cancelled
    assert not shards_of(plenty, "a")
    assert plenty.node(first.source).state == "live"


def test_the_second_goes_with_a_first_that_expires(plenty: Cell) -> None:
    first, _ = plenty.next("a").assignments
    plenty.now += 16_000
    plenty.beat(*HOLDERS, "a", "b")
    assert plenty.scheduler.reap().expired == 1
    assert not plenty.scheduler.leases() and slots(plenty, first.source) == (0, 0)


@pytest.mark.parametrize("who", ["source", "receiver"])
def test_both_go_with_a_node_that_leaves(plenty: Cell, who: str) -> None:
    first, _ = plenty.next("a").assignments
    plenty.scheduler.leave(first.source if who == "source" else "a")
    assert not plenty.scheduler.leases()
    assert_sound(plenty)


def test_the_second_may_end_first(plenty: Cell) -> None:
    """Reports may come in any order."""
    first, second = plenty.next("a").assignments
    plenty.next("a", ok(second), want=0)
    assert slots(plenty, first.source) == (1, 1)
    plenty.next("a", ok(first), want=0)
    assert slots(plenty, first.source) == (0, 0) and shards_of(plenty, "a") == {first.shard, second.shard}


def test_a_first_that_is_nearly_over_gives_its_slots_to_the_second(plenty: Cell) -> None:
    first, second = plenty.next("a").assignments
    reply = plenty.next("a", Report(first.lease, "ending"), want=1)
    assert not reply.assignments and slots(plenty, first.source) == (1, 1)
    plenty.next("a", ok(first), ok(second), want=0)
    assert slots(plenty, first.source) == (0, 0)


def test_a_repeated_request_is_given_both_again(plenty: Cell) -> None:
    reply = plenty.next("a", request_id="r1")
    assert len(reply.assignments) == 2 and plenty.next("a", request_id="r1").assignments == reply.assignments


def test_what_follows_survives_a_memory_that_is_lost(plenty: Cell) -> None:
    first, second = plenty.next("a").assignments
    plenty.client.delete(f"{PREFIX}stamp")
    assert slots(plenty, first.source) == (1, 1)
    plenty.next("a", ok(first), want=0)
    assert slots(plenty, first.source) == (1, 1)
    plenty.next("a", ok(second), want=0)
    assert slots(plenty, first.source) == (0, 0)


def test_why_both_were_given_is_in_the_log(plenty: Cell) -> None:
    leases = plenty.next("a").assignments
    plenty.scheduler.reap()
    grants = [line.lease for line in plenty.scheduler.decisions(JOB) if isinstance(line, Granted)]
    assert grants == [each.lease for each in leases]


def test_nothing_follows_a_shard_of_few_copies(cell: Cell) -> None:
    few = HOLDERS[:63]
    cell.nodes(*few, "a")
    cell.job([*few, "a"], shards=SHARDS)
    for name in (*few, "a"):
        cell.holds(name, *(range(SHARDS) if name != "a" else ()))
    assert len(cell.next("a").assignments) == 1


def test_nothing_follows_when_little_is_left(plenty: Cell) -> None:
    plenty.holds("a", *range(15))
    assert len(plenty.next("a").assignments) == 1


@pytest.mark.parametrize("spec", [{"upload_slots": 1}, {"download_slots": 1}, {"own_zone": True}])
def test_nothing_follows_where_a_job_has_limits(cell: Cell, spec: dict[str, object]) -> None:
    cell.nodes(*HOLDERS, "a")
    cell.job([*HOLDERS, "a"], shards=SHARDS, **spec)
    for name in (*HOLDERS, "a"):
        cell.holds(name, *(range(SHARDS) if name != "a" else ()))
    assert len(cell.next("a").assignments) == 1


def test_nothing_follows_while_a_node_is_slow(plenty: Cell) -> None:
    """The second would be held up with the first."""
    first, second = plenty.next("a").assignments
    plenty.next("a", ok(first), ok(second), want=0)
    plenty.client.set(f"{PREFIX}slow_count", 1)
    plenty.client.delete(f"{PREFIX}stamp")
    assert len(plenty.next("a").assignments) == 1


@pytest.fixture
def pairs(cell: Cell) -> tuple[Cell, list[Assignment]]:
    """Node a takes two pairs from one source."""
    cell.nodes(*HOLDERS[1:], up=1)
    cell.nodes("h0", "a", up=2, down=2)
    cell.job([*HOLDERS, "a"], shards=SHARDS)
    for name in (*HOLDERS, "a"):
        cell.holds(name, *(range(SHARDS) if name != "a" else ()))
    for name in HOLDERS[1:]:
        cell.scheduler.set_draining(name, True)
        cell.client.hset(f"{PREFIX}n:{cell.client.hget(f'{PREFIX}nodes', name)}", "up_max", 0)
    cell.client.delete(f"{PREFIX}stamp", f"{PREFIX}up")
    cell.client.setbit(f"{PREFIX}up", int(cell.client.hget(f"{PREFIX}nodes", "h0")), 1)  # type: ignore[arg-type]
    given = list(cell.next("a", want=2).assignments)
    assert [each.source for each in given] == ["h0"] * 4
    assert [each.follows for each in given] == ["", given[0].lease, "", given[2].lease]
    return cell, given


def waits(cell: Cell) -> dict[str, str]:
    return {view.lease: view.follows for view in cell.scheduler.leases()}


def test_each_of_two_pairs_from_one_source_keeps_to_itself(pairs: tuple[Cell, list[Assignment]]) -> None:
    cell, (first, then, other, after) = pairs
    cell.next("a", ok(first), want=0)
    assert waits(cell) == {then.lease: "", other.lease: "", after.lease: other.lease}
    cell.next("a", Report(other.lease, "failed", None, why="test"), want=0)
    assert waits(cell) == {then.lease: ""} and slots(cell, "h0") == (1, 1)
    cell.next("a", ok(then), want=0)
    assert slots(cell, "h0") == (0, 0)


def test_a_follower_that_its_node_gives_up_is_free_at_once(pairs: tuple[Cell, list[Assignment]]) -> None:
    """A first that said it was nearly over and then failed: its slots were handed on."""
    cell, (first, then, *_) = pairs
    cell.next("a", Report(first.lease, "ending"), want=0)
    cell.next("a", Report(first.lease, "failed", None, why="test"), Report(then.lease, "cancelled"), want=0)
    assert {first.lease, then.lease}.isdisjoint(waits(cell)) and slots(cell, "h0") == (1, 1)


def test_a_lost_memory_still_knows_when_the_second_began(plenty: Cell) -> None:
    """Judged from when it was given, it would be taken as slow."""
    first, second = plenty.next("a").assignments
    plenty.now += 2000
    plenty.next("a", ok(first), want=0)
    plenty.client.delete(f"{PREFIX}stamp")
    [view] = plenty.scheduler.leases()
    assert view.lease == second.lease and view.started == plenty.now


def test_what_came_of_a_second_that_is_dropped_is_counted(plenty: Cell) -> None:
    """It may have begun: the end of the first was not told yet."""
    first, second = plenty.next("a").assignments
    plenty.scheduler.heartbeat(Heartbeat("a", plenty.epochs["a"], {first.lease: 10, second.lease: 4}))
    before = plenty.scheduler.job(JOB)
    plenty.next("a", Report(first.lease, "corrupt", 5, bytes=10, ms=5), want=0)
    after = plenty.scheduler.job(JOB)
    assert before is not None and after is not None and after.bytes_peer - before.bytes_peer == 14
