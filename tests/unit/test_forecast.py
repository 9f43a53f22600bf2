"""What a plan says about time: the bounds, and what binds."""

from __future__ import annotations

import math
from typing import Any

import pytest

from transfers.planning.bounds import any_method, chain_hops, mesh_rounds
from transfers.planning.forecast import Forecast, Forecaster, Load, NodeRates

GB = 10**9
MIB = 2**20
NIC = 1.25 * GB


def forecasts(nodes: list[NodeRates], reader: float = 150e6, **load: Any) -> dict[str, Forecast]:
    asked = {"size": 140 * GB, "shard_count": 2087, "shard_size": 64 * MIB, "readers": 16, **load}
    return {each.topology: each for each in Forecaster(Load(**asked), nodes, reader).all()}


def even(number: int, rate: float = NIC, readers: int = 1) -> list[NodeRates]:
    return [NodeRates(f"n{index:04d}", rate, rate, readers) for index in range(number)]


def test_the_bounds_are_those_of_the_table() -> None:
    """140 GB at 10 Gbit/s to 1,000 nodes: 112.0 s whatever the method, 112.5 s for a mesh with one reader."""
    assert any_method(140 * GB, 1000, NIC, NIC, 1000 * NIC) == pytest.approx(112.0)
    assert mesh_rounds(2087, 1000, 1) == 2086 + 10
    assert mesh_rounds(2087, 1000, 1) * 64 * MIB / NIC == pytest.approx(112.5, abs=0.1)
    assert chain_hops(1000, MIB, NIC, 0.001) == pytest.approx(999 * (MIB / NIC + 0.001))
    assert chain_hops(1, MIB, NIC, 0.001) == 0


def test_a_mesh_of_an_even_fleet_is_bound_by_the_nodes_network() -> None:
    mesh = forecasts(even(100))["mesh"]
    assert mesh.binds == "network"
    assert mesh.seconds == pytest.approx(112.2, abs=0.3)
    assert mesh.efficiency > 0.99
    assert mesh.bytes_from_bucket == 140 * GB


def test_few_slow_reads_make_the_bucket_what_binds_and_the_sentence_says_how_many() -> None:
    mesh = forecasts(even(100), readers=2)["mesh"]
    assert (mesh.binds, mesh.seconds) == ("bucket", pytest.approx(140e9 / 300e6))
    assert mesh.why.startswith("2 reads at once from the bucket, at 150.0 MB/s each, give 300.0 MB/s")


def test_one_slow_node_binds_the_last_node_and_not_the_median_one() -> None:
    mesh = forecasts([*even(99), NodeRates("slow", NIC / 4, NIC / 4)])["mesh"]
    assert mesh.binds == "straggler"
    assert "slow, takes 312.5 MB/s" in mesh.why
    assert mesh.seconds == pytest.approx(448)
    assert mesh.median_seconds == pytest.approx(112.2, abs=0.5)


def test_every_node_by_itself_is_bound_by_what_the_bucket_gives_them_together() -> None:
    direct = forecasts(even(1000, readers=16))["direct"]
    assert (direct.binds, direct.bytes_from_bucket) == ("bucket_quota", 140_000 * GB)
    assert direct.seconds == pytest.approx(140_000 / 25)
    few = forecasts(even(4, readers=1))["direct"]
    assert (few.binds, few.seconds) == ("bucket", pytest.approx(140e9 / 150e6))


def test_a_chain_goes_at_the_rate_of_its_slowest_link_and_each_hop_adds_a_little() -> None:
    chain = forecasts(even(100, readers=16))["pipeline"]
    assert chain.seconds == pytest.approx(112.0 + 99 * (MIB / NIC + 0.001))
    slow_sender = [*even(10, readers=16), NodeRates("x", NIC, NIC / 10), *even(1)]
    assert forecasts(slow_sender)["pipeline"].binds == "straggler"
    last_may_send_slowly = [*even(10, readers=16), NodeRates("x", NIC, NIC / 10)]
    assert forecasts(last_may_send_slowly)["pipeline"].binds == "network"


def test_a_small_payload_in_a_long_chain_is_bound_by_its_hops() -> None:
    chain = forecasts(even(1000, readers=16), size=10 * MIB, shard_count=10, shard_size=MIB)["pipeline"]
    assert chain.binds == "hops"


def test_few_large_shards_are_what_binds_a_mesh() -> None:
    mesh = forecasts(even(1000, readers=16), size=8 * 2**30, shard_count=8, shard_size=2**30)["mesh"]
    assert mesh.binds == "shards"
    assert mesh.seconds == pytest.approx((7 + math.ceil(math.log2(1000 / 16 + 1))) * 2**30 / NIC)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_no_forecast_is_below_its_own_bounds_or_its_median_above_its_end(number: int) -> None:
    for each in forecasts(even(number)).values():
        assert each.seconds >= max(each.terms.values())
        assert 0 < each.median_seconds <= each.seconds
        assert 0 < each.efficiency <= 1
