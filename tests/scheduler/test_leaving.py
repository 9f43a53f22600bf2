"""A node that is about to go, as a Spot machine after its notice: what only it has leaves it first."""

from __future__ import annotations

import pytest

from tests.scheduler.cell import Cell

SHARED, ONLY = range(2, 30), {0, 1}


@pytest.mark.parametrize("seed", range(5))
def test_the_only_copies_leave_a_draining_node_first(cell: Cell, seed: int) -> None:
    cell.scheduler._random.seed(seed)
    cell.nodes("leaving", "staying", "c", "d", up=1, down=1, gcs=0)
    cell.job(["leaving", "staying", "c", "d"], shards=30)
    cell.holds("leaving", *ONLY, *SHARED)
    cell.holds("staying", *SHARED)
    cell.holds("c")
    cell.holds("d")
    cell.scheduler.set_draining("leaving", True)
    given = []
    under_way = {name: list(cell.next(name).assignments) for name in ("c", "d")}
    while len(given) < len(ONLY):
        for name, leases in under_way.items():
            leases += cell.inbox(name)
            if leases:
                lease = leases.pop(0)
                if lease.source == "leaving":
                    given.append(lease.shard)
                leases += cell.end(name, lease, want=1).assignments
    assert set(given) == ONLY


def test_a_draining_node_takes_nothing_more(cell: Cell) -> None:
    cell.nodes("leaving", "staying")
    cell.job(["leaving", "staying"], shards=2)
    cell.holds("leaving")
    cell.holds("staying", 0, 1)
    cell.scheduler.set_draining("leaving", True)
    assert cell.next("leaving").assignments == ()
