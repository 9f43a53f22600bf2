"""What lies ready for a node's next heartbeat is brought by it, once, however long there was nothing before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scheduler.cell import JOB, PREFIX, Cell
from transfers.scheduler import scripts
from transfers.scheduler.types import Heartbeat, HeartbeatReply


def beat(cell: Cell, name: str = "a") -> HeartbeatReply:
    return cell.scheduler.heartbeat(Heartbeat(name, cell.epochs[name]))


def nothing(cell: Cell) -> None: ...


def forget(cell: Cell) -> None:
    cell.client.function_flush()


def by_another_version(cell: Cell) -> None:
    """The next call is made by who remembers nothing."""
    cell.scheduler._scripts = scripts.Scripts(cell.client, PREFIX, functions=False)


@pytest.mark.parametrize("between", [nothing, forget, by_another_version])
@pytest.mark.parametrize("beats", [0, 1, 3])
def test_an_order_is_brought_by_the_next_heartbeat(cell: Cell, beats: int, between: Callable[[Cell], None]) -> None:
    cell.nodes("a", "b")
    for _ in range(beats):
        assert beat(cell).orders == ()
    between(cell)
    cell.scheduler.order("a", {"op": "verify"})
    assert beat(cell, "b").orders == ()
    assert list(beat(cell).orders) == [{"op": "verify"}]
    assert beat(cell).orders == ()


def test_more_orders_than_a_heartbeat_brings_come_with_the_ones_after_it(cell: Cell) -> None:
    cell.nodes("a")
    beat(cell)
    for k in range(150):
        cell.scheduler.order("a", {"op": "verify", "n": k})
    assert [len(beat(cell).orders) for _ in range(4)] == [64, 64, 22, 0]


@pytest.mark.parametrize("beats", [1, 3])
def test_a_transfer_that_was_broken_off_is_told_of_once(cell: Cell, beats: int) -> None:
    cell.nodes("a", "b")
    cell.job(["a", "b"])
    cell.holds("a", 0, 1, 2, 3)
    cell.holds("b")
    [lease] = cell.next("b").assignments
    for _ in range(beats):
        assert beat(cell, "b").cancelled == ()
    cell.scheduler.cancel(JOB)
    reply = beat(cell, "b")
    assert (list(reply.cancelled), list(reply.orders)) == ([lease.lease], [{"op": "cancel", "job": JOB}])
    reply = beat(cell, "b")
    assert (reply.cancelled, reply.orders) == ((), ())


def test_orders_outlast_a_restart_of_their_node(cell: Cell) -> None:
    cell.nodes("a")
    beat(cell)
    cell.scheduler.order("a", {"op": "verify"})
    cell.nodes("a")
    assert list(beat(cell).orders) == [{"op": "verify"}]


def test_a_node_of_many_jobs_is_told_of_all_of_them(cell: Cell) -> None:
    cell.nodes("a")
    jobs = [f"j{k:02}" for k in range(20)]
    for job in jobs:
        cell.job(["a"], job=job)
    assert sorted(beat(cell).jobs) == jobs
    cell.scheduler.cancel("j07")
    assert sorted(beat(cell).jobs) == [job for job in jobs if job != "j07"]
