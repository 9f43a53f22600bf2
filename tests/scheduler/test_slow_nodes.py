"""Normal nodes read from normal ones, slow from slow, and one that is fast again is taken back."""

from __future__ import annotations

from tests.scheduler.cell import JOB, Cell, crc_of
from transfers.scheduler.types import GCS, Assignment, Heartbeat, Report

NAMES = ["a", "b", "c", "d", "slow"]


def moved(cell: Cell, node: str, lease: Assignment, ms: int) -> None:
    report = Report(lease.lease, "ok", crc_of(lease.shard), bytes=1000, ms=ms)
    cell.next(node, report, want=0)


def fleet(cell: Cell) -> None:
    """Five nodes of which "slow" holds everything that "a" does, and has shown twice that it is slow."""
    cell.nodes("a", "slow")
    cell.nodes("b", "c", "d", up=0)
    cell.job(NAMES, shards=16, shard_size=1000)
    cell.holds("a", *range(16))
    for name in NAMES[1:]:
        cell.holds(name)
    for name, ms in (("b", 100), ("c", 100), ("slow", 1000), ("d", 100), ("slow", 1000), ("b", 100)):
        cell.now += 100_000
        cell.beat(*NAMES)
        [lease] = cell.next(name).assignments
        moved(cell, name, lease, ms)


def test_a_node_whose_transfers_take_long_is_found_to_be_slow_and_its_partners_are_not(cell: Cell) -> None:
    fleet(cell)
    assert [name for name in NAMES if cell.node(name).slow] == ["slow"]


def test_a_normal_node_waits_for_a_normal_source_rather_than_read_from_a_slow_one(cell: Cell) -> None:
    fleet(cell)
    cell.holds("slow", *range(16))
    [busy] = cell.next("b").assignments
    while busy.source != "a":
        moved(cell, "b", busy, 100)
        [busy] = cell.next("b").assignments
    reply = cell.next("c")
    assert all(each.source != "slow" for each in reply.assignments)


def test_any_source_will_do_for_a_node_that_waited_long(cell: Cell) -> None:
    cell.nodes("slow", "a", "b")
    fleet_job = ["slow", "a", "b"]
    cell.job(fleet_job, shards=4, shard_size=1000)
    cell.client.setbit("{fdist:main}:slow", 0, 1)
    cell.client.set("{fdist:main}:slow_count", 1)
    cell.client.hset("{fdist:main}:n:0", mapping={"slow": 2, "slow_at": cell.now})
    cell.client.delete("{fdist:main}:stamp")  # as whoever writes by hand has to
    cell.holds("slow", 0, 1, 2, 3)
    cell.holds("a", 0, 1, 2, 3)
    cell.holds("b")
    cell.scheduler.set_caps("a", upload_slots=0)
    assert cell.next("b").parked
    cell.now += 5_000
    cell.beat(*fleet_job)
    cell.scheduler.reap()
    assert [each.source for each in cell.inbox("b")] == ["slow"]


def test_a_shard_that_only_a_slow_node_has_is_read_from_it(cell: Cell) -> None:
    fleet(cell)
    cell.holds("slow", *range(16))
    cell.scheduler.leave("a")
    given = cell.next("b").assignments
    assert given and given[0].source in ("slow", "c", "d")


def test_a_slow_node_that_is_fast_again_is_taken_back(cell: Cell) -> None:
    fleet(cell)
    cell.now += 100_000
    cell.beat(*NAMES)
    [lease] = cell.next("slow").assignments  # a trial
    moved(cell, "slow", lease, 100)
    assert not cell.node("slow").slow
    assert cell.scheduler.leases(JOB) == []
    assert int(cell.client.get("{fdist:main}:trials") or 0) == 0


def test_a_node_that_starts_anew_is_not_slow(cell: Cell) -> None:
    fleet(cell)
    cell.now += 1
    cell.nodes("slow")
    assert not cell.node("slow").slow
    assert int(cell.client.get("{fdist:main}:slow_count") or 0) == 0


def last_shard(cell: Cell) -> Assignment:
    """Node c lacks one shard, which two nodes have, and reads it from one of them."""
    cell.nodes("a", "b", "c")
    cell.job(["a", "b", "c"], shards=4, shard_size=1000, size=4000)
    for name in ("a", "b"):
        cell.holds(name, 0, 1, 2, 3)
    cell.holds("c", 0, 1)
    [first] = cell.next("c").assignments
    cell.now += 100
    moved(cell, "c", first, 100)
    [last] = cell.next("c").assignments
    return last


def test_the_last_shard_is_taken_from_a_source_that_is_far_behind_and_read_from_another(cell: Cell) -> None:
    last = last_shard(cell)
    cell.now += 1000
    reply = cell.scheduler.heartbeat(Heartbeat("c", cell.epochs["c"], {last.lease: 20}))
    assert reply.cancelled == (last.lease,)
    [again] = cell.next("c").assignments
    assert again.shard == last.shard and {again.source, last.source} == {"a", "b"}
    ended = [event.fields for event in cell.scheduler.events("0") if event.kind == "failed"]
    assert [(fields["why"], fields["bytes"]) for fields in ended] == [("late", "20")]


def test_a_transfer_that_is_nearly_there_is_left_to_its_source(cell: Cell) -> None:
    last = last_shard(cell)
    cell.now += 1000
    assert cell.scheduler.heartbeat(Heartbeat("c", cell.epochs["c"], {last.lease: 900})).cancelled == ()


def test_a_transfer_that_is_far_behind_goes_on_while_nobody_else_can_send(cell: Cell) -> None:
    last = last_shard(cell)
    cell.scheduler.set_caps("a" if last.source == "b" else "b", upload_slots=0)
    cell.now += 1000
    assert cell.scheduler.heartbeat(Heartbeat("c", cell.epochs["c"], {last.lease: 20})).cancelled == ()


def slow_reads(cell: Cell) -> dict[str, int]:
    """Two reads from the bucket, lease -> shard, of a node that turns out to be slow."""
    cell.nodes("a", "slow", down=2, gcs=2)
    cell.job(["a", "slow"], shards=4, shard_size=1000, size=4000, gcs_slots=3)
    for name in ("a", "slow"):
        cell.holds(name)
    [first] = cell.next("a").assignments
    cell.now += 100
    moved(cell, "a", first, 100)
    late = {each.lease: each.shard for each in cell.next("slow", want=2).assignments if each.source == GCS}
    assert len(late) == 2
    return late


def test_reads_from_the_bucket_are_broken_off_only_as_long_as_little_is_read_in_vain(cell: Cell) -> None:
    late = slow_reads(cell)
    cell.now += 1000
    for _ in range(3):
        cell.now += 1000
        assert cell.scheduler.heartbeat(Heartbeat("slow", cell.epochs["slow"], dict.fromkeys(late, 50))).cancelled == ()


def test_a_slow_nodes_reads_from_the_bucket_are_given_to_another(cell: Cell) -> None:
    late = slow_reads(cell)
    cancelled: set[str] = set()
    for _ in range(3):
        cell.now += 1000
        beat = Heartbeat("slow", cell.epochs["slow"], dict.fromkeys(late.keys() - cancelled, 8))
        cancelled |= set(cell.scheduler.heartbeat(beat).cancelled)
    assert cancelled == late.keys()
    assert all(each.source != GCS for each in cell.next("slow", want=2).assignments)
    cell.beat("a")
    taken = {each.shard for each in cell.next("a", want=2).assignments if each.source == GCS}
    assert taken & set(late.values())


def test_a_source_gives_no_more_than_it_may_where_what_redis_has_of_its_slowness_does_not_agree(cell: Cell) -> None:
    cell.nodes("a", "b", "c")
    cell.job(["a", "b", "c"])
    cell.holds("a", 0, 1, 2, 3)
    cell.holds("b")
    cell.holds("c")
    cell.client.setbit("{fdist:main}:slow", 0, 1)  # and not its own field: a call can break off in between
    cell.client.set("{fdist:main}:slow_count", 1)
    cell.client.delete("{fdist:main}:stamp")
    [lease] = cell.next("b").assignments
    assert lease.source == "a"
    assert not cell.next("c").assignments  # its only upload slot is taken
    cell.end("b", lease)
    assert [each.source for each in cell.inbox("c")] == ["a"]
