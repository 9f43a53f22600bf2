"""Small fleets in virtual time against the real scheduler: they end near the bound, and nothing is miscounted.

A failing case is repeated by `python -m tests.simulation SCENARIO --seed N --scale S --check 0`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis as redis_py

from tests.scheduler.followed import one_copy_is_plenty
from tests.simulation.report import Figures, figures, text
from tests.simulation.scenarios import SCENARIOS, make
from tests.simulation.world import World

SEEDS = (1, 2)
TROUBLES = (
    "corrupting",
    "bad-messages",
    "stalls",
    "lost-second",
    "last-copy",
    "two-jobs",
    "churn",
    "flush",
    "chaos",
    "zones-in-trouble",
)
EVEN = (("one-reader", 0.1), ("slow-bucket", 0.12), ("pipeline", 0.06))


def play(client: redis_py.Redis, name: str, seed: int, scale: float, check_ms: float | None = None) -> Figures:
    scenario = make(name, seed, scale)
    if check_ms is not None:
        scenario = replace(scenario, options=replace(scenario.options, check_ms=check_ms))
    world = World(client, scenario, seed)
    world.run()
    return figures(world, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "scale"), EVEN)
def test_an_even_fleet_ends_with_every_invariant_true_after_every_event(
    redis: redis_py.Redis, name: str, scale: float, seed: int
) -> None:
    result = play(redis, name, seed, scale, check_ms=0)
    assert result.sound, text(result)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", TROUBLES)
def test_whatever_goes_wrong_every_live_node_completes(redis: redis_py.Redis, name: str, seed: int) -> None:
    result = play(redis, name, seed, 0.3)
    assert result.sound, text(result)


@pytest.mark.parametrize("name", TROUBLES)
def test_nor_where_transfers_follow_each_other(redis: redis_py.Redis, name: str) -> None:
    with one_copy_is_plenty():
        result = play(redis, name, 5, 0.3)
    assert result.sound, text(result)


def test_transfers_that_follow_each_other_end_with_every_invariant_true(redis: redis_py.Redis) -> None:
    with one_copy_is_plenty():
        result = play(redis, "even", 1, 0.04, check_ms=0)
    assert result.sound, text(result)
    assert result.calls["next"] < 0.9 * result.assignments


def test_every_scenario_can_be_made_at_every_scale() -> None:
    for name in SCENARIOS:
        for scale in (0.01, 1.0):
            scenario = make(name, 1, scale)
            assert scenario.nodes
            assert scenario.name == name


def test_the_same_seed_gives_the_same_run(redis: redis_py.Redis) -> None:
    first = play(redis, "stalls", 3, 0.3)
    redis.flushall()
    second = play(redis, "stalls", 3, 0.3)
    assert (first.last, first.assignments, first.counts) == (second.last, second.assignments, second.counts)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_even_mesh_comes_near_its_bound(redis: redis_py.Redis, seed: int) -> None:
    result = play(redis, "even", seed, 0.04)
    assert result.sound, text(result)
    assert result.ratio <= 1.12, text(result)
    assert result.amplification <= 1.02, text(result)


def test_nodes_that_keep_to_their_zone_bring_each_shard_into_it_about_once(redis: redis_py.Redis) -> None:
    result = play(redis, "zones", 1, 0.15, check_ms=0)
    assert result.sound, text(result)
    assert result.crossings is not None and result.crossings <= 1.3 * 2, text(result)
    assert result.ratio <= 1.1, text(result)


def test_flushing_redis_moves_no_verified_shard_again(redis: redis_py.Redis) -> None:
    result = play(redis, "flush", 1, 0.3)
    assert result.sound, text(result)
    assert result.counts.get("moved_again", 0) == 0, text(result)


def test_a_slow_node_does_not_drag_the_chain_behind_it(redis: redis_py.Redis) -> None:
    result = play(redis, "pipeline-slow", 1, 0.12)
    assert result.sound, text(result)
    assert result.p50 <= 1.1 * result.bound, text(result)


def test_a_source_that_was_left_alone_for_a_while_is_used_again(redis: redis_py.Redis) -> None:
    result = play(redis, "chaos", 2, 0.4)
    assert result.sound, text(result)


def test_nodes_behind_a_slow_one_are_not_moved_with_it(redis: redis_py.Redis) -> None:
    result = play(redis, "pipeline-slow", 1, 0.12)
    assert result.sound, text(result)
    assert result.ratio <= 2.0, text(result)
