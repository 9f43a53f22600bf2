"""Nodes of several zones: a shard crosses into a zone once, and spreads there from node to node."""

from __future__ import annotations

from tests.scheduler.cell import JOB, KEY, Cell
from transfers.scheduler.types import GCS, NodeInfo

ZONES = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "b3": "b"}


def fleet(cell: Cell, *names: str, shards: int, up: int = 1, **spec: object) -> None:
    for name in names:
        info = NodeInfo(
            name, f"{name}:1", "secret", {"zone": ZONES[name]}, upload_slots=up, download_slots=1, gcs_slots=1
        )
        cell.epochs[name] = cell.scheduler.register(info, KEY).epoch
    cell.job(names, shards=shards, own_zone=True, **spec)


def test_a_node_takes_from_its_own_zone_what_that_has(cell: Cell) -> None:
    fleet(cell, "a1", "b1", "b2", shards=1)
    cell.holds("a1", 0)
    cell.holds("b1", 0)
    cell.holds("b2")
    (lease,) = cell.next("b2").assignments
    assert lease.source == "b1"


def test_what_a_zone_lacks_crosses_into_it_once(cell: Cell) -> None:
    fleet(cell, "a1", "b1", "b2", "b3", shards=1, up=3)
    cell.holds("a1", 0)
    for name in ("b1", "b2", "b3"):
        cell.holds(name)
    (lease,) = cell.next("b1").assignments
    assert lease.source == "a1"
    assert cell.next("b2").assignments == (), "it is on its way into the zone"
    cell.end("b1", lease)
    (given,) = cell.inbox("b2")
    assert given.source == "b1"


def test_a_shard_whose_crossing_failed_may_cross_again(cell: Cell) -> None:
    fleet(cell, "a1", "a2", "b1", "b2", shards=1)
    cell.holds("a1", 0)
    cell.holds("a2", 0)
    cell.holds("b1")
    cell.holds("b2")
    (lease,) = cell.next("b1").assignments
    assert cell.next("b2").assignments == ()
    cell.end("b1", lease, "failed")
    assert [given.shard for given in cell.inbox("b2")] == [0]


def test_who_has_waited_long_and_gets_nothing_takes_from_any_zone(cell: Cell) -> None:
    fleet(cell, "a1", "b1", "b2", shards=2, up=2)
    cell.holds("a1", 0, 1)
    cell.holds("b1")
    cell.holds("b2", 1)
    (lease,) = cell.next("b1").assignments
    while lease.source == "b2":  # whatever the dice say first, the shard that is not in the zone comes next
        (lease,) = cell.end("b1", lease, want=1).assignments
    assert (lease.shard, lease.source) == (0, "a1")
    assert cell.next("b2").assignments == ()
    for _ in range(8):
        cell.now += 500
        cell.beat("a1", "b1", "b2")
        cell.scheduler.reap()
    assert [(given.shard, given.source) for given in cell.inbox("b2")] == [(0, "a1")]


def test_a_shard_that_still_comes_into_the_zone_does_not_cross_again(cell: Cell) -> None:
    """Two transfers of it were under way into the zone, and one of them failed."""
    fleet(cell, "a1", "b1", "b2", "b3", shards=1, up=4)
    cell.holds("a1", 0)
    for name in ("b1", "b2", "b3"):
        cell.holds(name)
    cell.next("b1")
    cell.next("b2")
    for _ in range(8):
        cell.now += 500
        cell.beat("a1", "b1", "b2", "b3")
        cell.scheduler.reap()
    (second,) = cell.inbox("b2")
    assert second.source == "a1", "it waited long"
    cell.end("b2", second, "failed")
    assert cell.next("b3").assignments == (), "b1 gets it still"


def test_each_zone_gets_each_shard_once_from_elsewhere(cell: Cell) -> None:
    fleet(cell, *ZONES, shards=12)
    for name in ZONES:
        cell.holds(name)
    across = from_bucket = 0
    under_way = [(name, a) for name in ZONES for a in cell.next(name).assignments]
    while under_way:
        cell.now += 10
        name, lease = under_way.pop(0)
        from_bucket += lease.source == GCS
        across += lease.source != GCS and ZONES[lease.source] != ZONES[name]
        reply = cell.end(name, lease, want=1)
        under_way += [(name, a) for a in reply.assignments]
        under_way += [(name, a) for name in ZONES for a in cell.inbox(name)]
        for job in reply.finished:
            cell.scheduler.finish(job, name, cell.epochs[name])
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete"
    assert (from_bucket, across) == (12, 12)


def test_a_forgotten_job_leaves_no_keys_of_its_zones(cell: Cell) -> None:
    fleet(cell, "a1", "b1", shards=2)
    cell.holds("a1", 0)
    cell.holds("b1", 1)
    cell.scheduler.cancel(JOB, "test")
    cell.scheduler.forget(JOB)
    assert [key for key in cell.client.scan_iter(f"*j:{JOB}*")] == []
