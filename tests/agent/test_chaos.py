"""Faults on purpose: only where the agent was told that its fleet may break."""

from __future__ import annotations

import pytest

from nodes.agent.chaos import Chaos


def test_an_agent_of_no_test_fleet_refuses(caplog: pytest.LogCaptureFixture) -> None:
    rates: list[int | None] = []
    chaos = Chaos("gpu-01", False, set_rates=rates.append, find=lambda job: None)
    for act in ({"act": "kill"}, {"act": "slow", "rate": 8000, "seconds": 1}):
        chaos.obey({"op": "chaos", **act})
    assert rates == []
    assert caplog.text.count("chaos refused") == 2


def test_a_slowed_node_is_as_fast_as_before_when_the_time_is_over() -> None:
    rates: list[int | None] = []
    chaos = Chaos("gpu-01", True, set_rates=rates.append, find=lambda job: None)
    chaos.obey({"op": "chaos", "act": "slow", "rate": 8000, "seconds": 0})
    timer = chaos._timer
    assert timer is not None
    timer.join(60)
    assert rates == [8000, None]


def test_orders_that_make_no_sense_do_nothing(caplog: pytest.LogCaptureFixture) -> None:
    chaos = Chaos("gpu-01", True, set_rates=lambda rate: pytest.fail("rates were set"), find=lambda job: None)
    for order in ({"act": "melt"}, {"act": "slow", "rate": "fast"}, {"act": "corrupt", "job": "x", "shards": 1}, {}):
        chaos.obey({"op": "chaos", **order})
    assert caplog.text.count("not understood") == 3
    assert "nothing to damage" in caplog.text
