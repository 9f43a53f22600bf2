"""What calls leave to later ones is written in time, and made anew when the server that had it in mind is gone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
import redis as redis_py

from tests.scheduler.cell import JOB, PREFIX, Cell, broken, crc_of
from tests.simulation.invariants import bits, count_columns
from transfers.scheduler import Scheduler, scripts
from transfers.scheduler.types import Assignment, Report

NODES = ("a", "b", "c", "d")
SHARDS = 200


class Fleet:
    """A job under way on a cell, one call at a time."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        cell.nodes(*NODES, up=2, down=2)
        cell.job(NODES, shards=SHARDS, gcs_slots=2)
        for name in NODES:
            cell.holds(name)
        self.under_way: list[tuple[str, Assignment]] = []
        for name in NODES:
            self.call(name)

    def call(self, name: str, *reports: Report) -> None:
        reply = self.cell.next(name, *reports, want=2)
        self.under_way += [(name, each) for each in reply.assignments]

    def step(self) -> None:
        """One transfer ends, or nobody has any and a node asks."""
        self.cell.now += 10
        for name in NODES:
            self.under_way += [(name, each) for each in self.cell.inbox(name)]
        if not self.under_way:
            self.call("a")
            return
        name, over = self.under_way.pop(0)
        self.call(name, Report(over.lease, "ok", crc_of(over.shard), bytes=10, ms=5))

    def leave_something(self) -> None:
        """Until a call has left places and copies to be written by a later one."""
        for _ in range(300):
            self.step()
            if self.cell.client.smembers(f"{PREFIX}behind") == {b"up", JOB.encode()} and not self.is_written():
                return
        raise AssertionError("300 calls left nothing to be written")

    def copies(self) -> tuple[list[int], list[int]]:
        """Of each shard, as Redis tells it now, and as its nodes hold it."""
        told = [0] * SHARDS
        for shard, score in self.cell.client.zrange(f"{PREFIX}j:{JOB}:rarity", 0, -1, withscores=True):
            told[int(shard)] = int(score)
        return told, count_columns([bits(self.cell.scheduler.held(JOB, name)) for name in NODES], SHARDS)

    def places(self) -> tuple[list[bool], list[bool]]:
        """Of each node, whether it can serve, as Redis tells it now, and by its transfers."""
        up = bits(self.cell.client.get(f"{PREFIX}up") or b"")
        return [bool(up >> i & 1) for i in range(len(NODES))], [len(each) < 2 for each in self.serves()[1]]

    def serves(self) -> tuple[list[list[str]], list[list[str]]]:
        """Of each node, the leases of what is read from it, as Redis tells them now, and by the transfers of all."""
        told = [self.cell.client.hget(f"{PREFIX}underway", f"{i}s") or b"" for i in range(len(NODES))]
        leases = self.cell.scheduler.leases()
        return [sorted(each.decode().split()) for each in told], [
            sorted(each.lease for each in leases if each.source == name and not each.ending) for name in NODES
        ]

    def told(self) -> list[tuple[str, str, int]]:
        """What came where, and when, as the record is told it."""
        events = self.cell.scheduler.events("0", count=10_000)
        return [(each.fields["node"], each.fields["shard"], each.at) for each in events if each.kind == "done"]

    def is_written(self) -> bool:
        return all(told == so for told, so in (self.copies(), self.places(), self.serves()))

    def finish(self) -> None:
        """To the job's end."""
        for _ in range(len(NODES) * SHARDS * 2):
            self.step()
            if not self.under_way and not self.cell.client.keys(f"{PREFIX}n:*:in:*"):
                break
        assert self.cell.scheduler.rarity(JOB) == self.copies()[1] == [len(NODES)] * SHARDS
        assert self.is_written()
        view = self.cell.scheduler.job(JOB)
        assert view is not None and view.bytes_gcs == view.size


@pytest.fixture
def fleet(cell: Cell) -> Fleet:
    return Fleet(cell)


def test_what_is_left_is_written_some_calls_later(fleet: Fleet) -> None:
    fleet.leave_something()
    for _ in range(256):
        fleet.step()
        if not fleet.cell.client.exists(f"{PREFIX}behind"):
            break
    assert fleet.is_written() and not fleet.cell.client.exists(f"{PREFIX}behind")
    fleet.finish()


def test_who_reads_the_copies_finds_them_written(fleet: Fleet) -> None:
    fleet.leave_something()
    assert fleet.cell.scheduler.rarity(JOB) == fleet.copies()[1]
    assert fleet.is_written() and not fleet.cell.client.exists(f"{PREFIX}behind")


def test_copies_of_a_job_that_comes_later_are_said_to_be_behind_too(cell: Cell) -> None:
    """Where Redis was told already what a memory leaves, before this job had something to leave."""
    cell.nodes(*NODES, up=2, down=2)
    cell.job(NODES, shards=60, gcs_slots=2, priority=1)
    cell.job(NODES, shards=60, gcs_slots=2, job="j2")
    for name in NODES:
        cell.holds(name)
        cell.holds(name, job="j2")
    under_way = [(name, each) for name in NODES for each in cell.next(name, want=2).assignments]
    left: set[str] = set()
    for _ in range(2 * 60 * len(NODES)):
        under_way += [(name, each) for name in NODES for each in cell.inbox(name)]
        name, over = under_way.pop(0)
        under_way += [(name, each) for each in cell.end(name, over, want=1).assignments]
        behind = {text.decode() for text in cell.client.smembers(f"{PREFIX}behind")}
        for job in (JOB, "j2"):
            told = {int(s): int(n) for s, n in cell.client.zrange(f"{PREFIX}j:{job}:rarity", 0, -1, withscores=True)}
            held = count_columns([bits(cell.scheduler.held(job, node)) for node in NODES], 60)
            if any(told.get(shard, 0) != copies for shard, copies in enumerate(held)):
                left.add(job)
                assert job in behind
    assert left == {JOB, "j2"}


def test_where_nothing_is_left_nothing_is_said_to_be(cell: Cell) -> None:
    """A memory that begins would otherwise look at all nodes."""
    cell.nodes("a", "b")
    for _ in range(130):
        cell.beat("a", "b")
        assert not cell.client.exists(f"{PREFIX}behind")


def test_a_shard_whose_call_breaks_off_as_it_tells_of_others_is_told(fleet: Fleet) -> None:
    fleet.leave_something()
    for _ in range(100):
        name, over = fleet.under_way.pop(0)
        report = Report(over.lease, "ok", crc_of(over.shard), bytes=10, ms=5)
        try:
            with broken(fleet.cell.client, f"{PREFIX}events"):
                fleet.cell.next(name, report, want=0)
        except redis_py.ResponseError:
            break
        for other in NODES:
            fleet.call(other)
            fleet.under_way += [(other, each) for each in fleet.cell.inbox(other)]
    else:
        raise AssertionError("100 calls told of nothing")
    fleet.call(name, report)
    fleet.finish()
    told = [(node, shard) for node, shard, _ in fleet.told()]
    assert len(told) == len(set(told)) == len(NODES) * SHARDS


def test_the_tick_writes_it(fleet: Fleet) -> None:
    fleet.leave_something()
    fleet.cell.scheduler.reap()
    assert fleet.is_written() and not fleet.cell.client.exists(f"{PREFIX}behind")


def test_a_memory_that_has_just_begun_leaves_nothing(fleet: Fleet) -> None:
    """It would cost more to make it anew each time, where two versions take turns."""
    for _ in range(60):
        fleet.step()
        fleet.cell.client.incr(f"{PREFIX}stamp")
        assert fleet.is_written() and not fleet.cell.client.exists(f"{PREFIX}behind")


def die(cell: Cell) -> None:
    """A server whose Lua begins anew with all its data, as after a restart or on another master."""
    cell.client.function_flush()


def break_off(cell: Cell) -> None:
    """The stamp is another call's."""
    cell.client.incr(f"{PREFIX}stamp")


def other_version(cell: Cell) -> None:
    """A caller that remembers nothing makes a call: it sees that something was left."""
    kept, cell.scheduler._scripts = cell.scheduler._scripts, scripts.Scripts(cell.client, PREFIX, functions=False)
    cell.beat("a")
    cell.scheduler._scripts = kept


@pytest.mark.parametrize("lose", [die, break_off, other_version])
def test_what_a_lost_memory_had_left_is_made_anew(fleet: Fleet, lose: Callable[[Cell], None]) -> None:
    fleet.leave_something()
    lose(fleet.cell)
    fleet.cell.beat("a")
    assert fleet.is_written() and not fleet.cell.client.exists(f"{PREFIX}behind")
    fleet.finish()


def test_data_that_went_back_are_put_right(fleet: Fleet) -> None:
    """A snapshot taken while something was left, restored under a server that went on."""
    fleet.leave_something()
    saved = {key: fleet.cell.client.dump(key) for key in fleet.cell.client.scan_iter()}
    for _ in range(30):
        fleet.step()
    fleet.cell.client.flushdb()
    for key, value in saved.items():
        fleet.cell.client.restore(key, 0, value)
    assert not fleet.is_written()
    fleet.cell.beat("a")
    assert fleet.is_written()


def test_a_job_that_is_forgotten_leaves_nothing_behind(fleet: Fleet) -> None:
    fleet.leave_something()
    fleet.cell.scheduler.cancel(JOB)
    fleet.cell.scheduler.forget(JOB)
    assert fleet.cell.client.keys(f"{PREFIX}j:{JOB}*") == []
    fleet.cell.beat(*NODES)
    assert fleet.cell.client.keys(f"{PREFIX}j:{JOB}*") == []


def test_a_job_that_is_gone_is_not_made_anew(fleet: Fleet) -> None:
    fleet.leave_something()
    fleet.cell.client.delete(*fleet.cell.client.keys(f"{PREFIX}j:{JOB}*"))
    die(fleet.cell)
    fleet.cell.beat(*NODES)
    assert fleet.cell.client.keys(f"{PREFIX}j:{JOB}:rarity") == []


@pytest.mark.parametrize("functions", [True, False])
@pytest.mark.parametrize("cells_between", [0, 9])
def test_a_copy_of_a_call_that_broke_off_is_counted(cell: Cell, functions: bool, cells_between: int) -> None:
    """The shard is held from then on, so that who reports it again is not counted."""
    cell.scheduler._scripts = scripts.Scripts(cell.client, PREFIX, functions=functions)
    cell.nodes("a", "b", up=2, down=2)
    cell.job(["a", "b"], shards=2)
    cell.holds("a", 0, 1)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    with broken(cell.client, f"{PREFIX}events"), pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        cell.end("b", lease)
    for k in range(cells_between):  # more than the server's Lua remembers
        other = Scheduler(cell.client, f"other-{k}", clock=lambda: cell.now, random=random.Random(k))
        other.set_draining("nobody", True)
    cell.end("b", lease)
    assert cell.scheduler.rarity(JOB)[lease.shard] == 2
    cell.scheduler.leave("a")
    assert cell.scheduler.rarity(JOB) == [1 if shard == lease.shard else 0 for shard in range(2)]
    assert cell.client.zscore(f"{PREFIX}j:{JOB}:fresh", lease.shard) is None


@pytest.mark.parametrize("fractions", [False, True])
def test_suspects_are_read_again_after_a_lost_memory(cell: Cell, fractions: bool) -> None:
    """What is held and has to come from the bucket all the same. fractions: an earlier version kept them in Redis."""
    cell.nodes("a", "b", "c", up=4, down=4, gcs=0)
    cell.job(["a", "b", "c"], shards=SHARDS, gcs_slots=0)
    cell.holds("a", *range(SHARDS))
    cell.holds("b", *range(SHARDS // 2))
    cell.holds("c")
    suspects = list(range(8))
    cell.scheduler.dispute(JOB, "a", cell.epochs["a"], 0, suspects, [crc_of(s) for s in suspects])
    fresh, rarity = f"{PREFIX}j:{JOB}:fresh", f"{PREFIX}j:{JOB}:rarity"
    before = cell.client.zrange(fresh, 0, -1)
    assert len(before) == len(suspects)
    under_way = [(name, each) for name in ("b", "c") for each in cell.next(name, want=4).assignments]
    while not cell.client.sismember(f"{PREFIX}behind", JOB):
        name, over = under_way.pop(0)
        under_way += [(name, each) for each in cell.end(name, over, want=1).assignments]
    if fractions:
        for shard, score in cell.client.zrange(rarity, 0, -1, withscores=True):
            cell.client.zadd(rarity, {shard: score + 0.4375})
    die(cell)
    cell.beat("a")
    assert cell.client.zrange(fresh, 0, -1) == before
    assert all(score % 1 == 0 for _, score in cell.client.zrange(rarity, 0, -1, withscores=True))


def test_shards_are_told_some_at_once_and_none_twice(fleet: Fleet) -> None:
    """Each with the time when it came, and before whatever happened later."""
    fleet.leave_something()
    came: list[tuple[str, str, int]] = []
    begins = fleet.cell.client.xlen(f"{PREFIX}events")
    for _ in range(40):
        fleet.cell.now += 10
        name, over = fleet.under_way.pop(0)
        fleet.call(name, Report(over.lease, "ok", crc_of(over.shard), bytes=10, ms=5))
        came.append((name, str(over.shard), fleet.cell.now))
    fleet.cell.scheduler.leave("d")
    assert fleet.told()[-40:] == came
    assert fleet.cell.scheduler.events("0", count=10_000)[-1].kind == "node_left"
    assert fleet.cell.client.xlen(f"{PREFIX}events") - begins < 20


@pytest.mark.parametrize("lose", [break_off, other_version])
def test_shards_that_were_not_told_yet_are_told_by_a_memory_that_begins(
    fleet: Fleet, lose: Callable[[Cell], None]
) -> None:
    fleet.leave_something()
    lose(fleet.cell)
    fleet.cell.beat("a")
    fleet.finish()
    told = [(name, shard) for name, shard, _ in fleet.told()]
    assert len(told) == len(set(told)) == len(NODES) * SHARDS


def test_the_tick_knows_of_every_heartbeat(fleet: Fleet) -> None:
    """Those that are not written yet are, before it looks for who fell silent."""
    fleet.leave_something()
    fleet.cell.now += 300
    seen = fleet.cell.client.zrange(f"{PREFIX}seen", 0, -1, withscores=True)
    fleet.cell.beat(*NODES)
    assert fleet.cell.client.zrange(f"{PREFIX}seen", 0, -1, withscores=True) == seen
    fleet.cell.now += 100
    fleet.cell.scheduler._dead_after = 200
    assert fleet.cell.scheduler.reap().died == ()


def test_heartbeats_are_written_within_a_second(fleet: Fleet) -> None:
    fleet.leave_something()
    fleet.cell.now += 300
    fleet.cell.beat("a", "b", "c")
    fleet.cell.now += 1000
    fleet.cell.beat("d")
    scores = [score for _, score in fleet.cell.client.zrange(f"{PREFIX}seen", 0, -1, withscores=True)]
    assert sorted(scores) == [fleet.cell.now - 1000] * 3 + [fleet.cell.now]


def test_who_left_is_not_seen_again(fleet: Fleet) -> None:
    fleet.leave_something()
    fleet.cell.beat("d")
    fleet.cell.scheduler.leave("d")
    fleet.cell.beat("a")
    fleet.cell.scheduler.reap()
    assert fleet.cell.client.zcard(f"{PREFIX}seen") == len(NODES) - 1


def test_heartbeats_of_two_versions_in_turn_are_seen(fleet: Fleet) -> None:
    for _ in range(200):
        fleet.step()
    kept = fleet.cell.scheduler._scripts
    for _ in range(20):
        fleet.cell.now += 40
        fleet.cell.beat("a", "b")
        fleet.cell.scheduler._scripts = scripts.Scripts(fleet.cell.client, PREFIX, functions=False)
        fleet.cell.beat("c", "d")
        fleet.cell.scheduler._scripts = kept
    fleet.cell.scheduler._dead_after = 100
    assert fleet.cell.scheduler.reap().died == ()


def test_a_heartbeat_that_was_left_does_not_undo_the_one_after(fleet: Fleet) -> None:
    fleet.leave_something()
    fleet.cell.beat("a")
    fleet.cell.now += 5000
    fleet.cell.beat("a")
    index = fleet.cell.client.hget(f"{PREFIX}nodes", "a")
    assert fleet.cell.client.zscore(f"{PREFIX}seen", index) == fleet.cell.now


def test_what_another_version_took_for_written_is_made_anew(fleet: Fleet) -> None:
    """One that knows of `behind`, but not of all that it stands for now."""
    fleet.leave_something()
    fleet.cell.client.incr(f"{PREFIX}stamp")
    fleet.cell.client.delete(f"{PREFIX}behind")
    assert not fleet.is_written()
    fleet.cell.beat("a")
    assert fleet.is_written()
    fleet.finish()


def test_sources_of_a_call_that_broke_off_are_right_again(fleet: Fleet) -> None:
    """In the middle of what it writes at its end: the transfers were written, and who serves them was not."""
    fleet.leave_something()
    for _ in range(300):
        fleet.step()
        fleet.cell.scheduler.rarity(JOB)  # so that nothing is said to be behind
        name, over = next(each for each in fleet.under_way if each[1].source)
        try:
            with broken(fleet.cell.client, f"{PREFIX}j:{JOB}:log"):
                fleet.cell.next(name, Report(over.lease, "ok", crc_of(over.shard), bytes=10, ms=5), want=0)
        except redis_py.ResponseError:
            break
        fleet.under_way.remove((name, over))
    else:
        raise AssertionError("300 calls wrote nothing to the log")
    fleet.cell.beat("a")
    assert fleet.serves()[0] == fleet.serves()[1] and fleet.places()[0] == fleet.places()[1]


BREAKS_OFF_AT_TRANSFERS = """
    local redis_call = redis.call
    call = function(...)
      local command, key, field = ...
      if command == 'HSET' and key == UNDER_WAY and not field:find('s') and redis_call('DEL', 'break-off') == 1 then
        error('broken off')
      end
      return redis_call(...)
    end
"""


@pytest.fixture
def breaking_off(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    """A cell whose next call to write transfers under way breaks off there, once there is a key `break-off`."""
    library = scripts.library()
    assert library.count("call = redis.call\n") == 1
    changed = library.replace("call = redis.call\n", BREAKS_OFF_AT_TRANSFERS)
    monkeypatch.setattr(scripts, "library", lambda: changed)
    cell.client.function_flush()
    yield cell
    cell.client.function_flush()


def test_who_reads_from_whom_is_not_written_before_the_transfers(breaking_off: Cell) -> None:
    """By a memory that leaves nothing yet, and whose call breaks off between the two: nothing would put it right."""
    cell, fleet = breaking_off, Fleet(breaking_off)
    for _ in range(20):
        fleet.step()
    name, over = next(each for each in fleet.under_way if each[1].source)
    cell.client.set("break-off", 1)
    with pytest.raises(redis_py.ResponseError, match="broken off"):
        fleet.call(name, Report(over.lease, "ok", crc_of(over.shard), bytes=10, ms=5))
    cell.beat("a")
    assert fleet.serves()[0] == fleet.serves()[1] and fleet.places()[0] == fleet.places()[1]
