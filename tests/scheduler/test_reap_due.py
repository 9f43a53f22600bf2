"""What the tick looks at again and again until nothing is due."""

from __future__ import annotations

import pytest
import redis as redis_py

from tests.scheduler.cell import PREFIX, Cell, broken


def test_a_tick_that_breaks_off_leaves_every_transfer_to_the_next(cell: Cell) -> None:
    names = ("a", "b", "c", "d")
    cell.nodes(*names)
    cell.job(names, shards=8, gcs_slots=4)
    for name in names:
        cell.holds(name)
        assert cell.next(name).assignments
    cell.now += 60_000
    cell.beat(*names)
    with broken(cell.client, f"{PREFIX}events"), pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        cell.scheduler.reap()
    assert cell.scheduler.reap().expired == len(names)
    assert cell.client.zcard(f"{PREFIX}due") == len({x.node for x in cell.scheduler.leases()})
