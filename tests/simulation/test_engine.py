"""The simulator's own parts: time in order, rates shared, bounds as the theory gives them."""

from __future__ import annotations

import pytest

from tests.simulation.engine import Engine
from tests.simulation.invariants import bits, count_columns
from tests.simulation.network import HOP_MS, Endpoint, Flow, Network
from tests.simulation.report import chain_bound, mesh_bound, percentile
from transfers.scheduler.types import Assignment


def transfer(shard: int = 0) -> Assignment:
    return Assignment(f"l{shard}", "j", shard, "a", None, None, None, 0)


def test_things_happen_in_the_order_of_their_times_and_then_of_asking() -> None:
    engine, seen = Engine(), []
    engine.at(5, seen.append, "c")
    engine.at(1, seen.append, "a")
    engine.at(5, seen.append, "d")
    engine.at(2, seen.append, "never").cancel()
    engine.run(10)
    assert seen == ["a", "c", "d"]


def test_a_flow_runs_at_the_slower_of_its_ends() -> None:
    engine, ended = Engine(), []
    network = Network(engine)
    network.start(Flow(transfer(), "a", "b", 100, (Endpoint(10), Endpoint(4)), lambda f, why: ended.append(engine.now)))
    engine.run(1000)
    assert ended == [25.0]


def test_flows_share_an_end_and_one_that_is_held_back_leaves_the_rest() -> None:
    engine, ended = Engine(), {}
    network = Network(engine)
    up = Endpoint(10)
    for name, down in (("slow", 2), ("fast", 100)):
        flow = Flow(
            transfer(), "a", name, 80, (up, Endpoint(down)), lambda f, why: ended.update({f.receiver: engine.now})
        )
        network.start(flow)
    engine.run(1000)
    assert ended == {"fast": pytest.approx(10.0), "slow": pytest.approx(40.0)}


def test_a_forwarded_shard_arrives_right_after_its_sender_has_it() -> None:
    engine, ended = Engine(), {}
    network = Network(engine)

    def end(flow: Flow, why: str) -> None:
        ended[flow.receiver] = (engine.now, why)

    first = Flow(transfer(), "a", "b", 100, (Endpoint(1), Endpoint(9)), end)
    second = Flow(transfer(), "b", "c", 100, (Endpoint(9), Endpoint(9)), end)
    second.upstream = first
    network.start(first)
    network.start(second)
    engine.run(1000)
    assert ended == {"b": (100.0, ""), "c": (100.0 + HOP_MS, "")}


def test_a_forwarded_shard_fails_with_its_sender() -> None:
    engine, ended = Engine(), {}
    network = Network(engine)
    first = Flow(transfer(), "a", "b", 100, (Endpoint(1), Endpoint(9)), lambda f, why: None)
    second = Flow(transfer(), "b", "c", 100, (Endpoint(9), Endpoint(9)), lambda f, why: ended.update({f.receiver: why}))
    second.upstream = first
    network.start(first)
    network.start(second)
    engine.at(50, network.stop, first, "reset")
    engine.run(1000)
    assert ended == {"c": "short"}


def test_bounds_agree_with_the_theory() -> None:
    assert mesh_bound(256, 64, 1, 1.0) == 262
    assert mesh_bound(128, 256, 1, 1.0) == 136
    assert mesh_bound(256, 64, 4, 1.0) == 260
    assert mesh_bound(100, 10, 0.25, 1.0) == 400
    assert chain_bound(500, 100, 1000, 2, 1) == 500_198


def test_bitmaps_are_read_as_redis_writes_them() -> None:
    assert bits(b"\x80\x01") == 1 | 1 << 15
    assert bits(b"") == 0
    assert count_columns([0b011, 0b001, 0b101], 4) == [3, 1, 1, 0]


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0.5, 0.99, 1.0)] == [2, 4, 4]
