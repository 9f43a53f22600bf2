"""The trace of hand-overs, and the rates."""

from __future__ import annotations

import pytest

from nodes.agent.gaps import GapTrace
from nodes.agent.job import LocalJob
from nodes.agent.rates import AllLimits, Flows, Meter
from nodes.agent.transfer import Ending, Transfer
from tests.agent.transfers import assignment
from transfers.dataplane.ratelimit import TokenBucket


def test_a_gap_with_work_at_hand_counts_and_a_wait_for_work_does_not() -> None:
    trace = GapTrace()
    for milliseconds in range(1, 101):
        trace.add(milliseconds / 1000, waited=False)
    trace.add(9.0, waited=True)
    summary = trace.summary()
    assert (summary.count, summary.waits) == (100, 1)
    assert summary.p50 == pytest.approx(50, abs=1)
    assert summary.p99 == pytest.approx(99, abs=1)
    assert summary.longest == pytest.approx(100)


def pair(*, pushed: bool = False) -> tuple[Transfer, Transfer]:
    """A transfer and the one that takes up its turn."""
    job = LocalJob("a" * 32)
    before, after = (Transfer(assignment(shard), job, pushed=pushed) for shard in (0, 1))
    after.follows = before
    return before, after


def test_a_first_byte_before_the_end_of_the_last_transfer_is_no_gap() -> None:
    before, after = pair()
    after.first_byte = 5.0
    trace = GapTrace()
    trace.first_byte(after)
    assert before.ended is None
    assert (trace.summary().count, trace.summary().p50) == (1, 0.0)


def test_a_gap_goes_from_the_end_of_one_transfer_to_the_first_byte_of_the_next() -> None:
    before, after = pair()
    before.end(Ending("ok"))
    assert before.ended is not None
    after.first_byte = before.ended + 0.25
    trace = GapTrace()
    trace.first_byte(after)
    assert trace.summary().p50 == pytest.approx(250)


def test_a_node_stands_still_only_when_none_of_its_lanes_gets_bytes() -> None:
    trace = GapTrace()
    (first, second), (alone, last) = pair(), pair()
    for transfer, at in ((first, 1.0), (alone, 1.5)):
        transfer.first_byte = at
        trace.first_byte(transfer)
    first.ended = 2.0
    trace.over(first)
    second.first_byte = 2.25
    trace.first_byte(second)  # its lane stood still, and another went on
    for transfer, at in ((second, 3.0), (alone, 4.0)):
        transfer.ended = at
        trace.over(transfer)
    last.first_byte = 4.5
    trace.first_byte(last)
    summary = trace.summary()
    assert (summary.count, summary.p50, summary.node_p50) == (2, 250, 0)
    assert (summary.p99, trace._node_gaps[-1]) == (250, 500)


def test_a_lane_that_was_free_before_the_scheduler_had_work_has_waited() -> None:
    before, after = pair(pushed=True)
    before.left_at, before.ended = after.started - 1, after.started - 0.5
    after.first_byte = after.started + 0.1
    trace = GapTrace()
    trace.first_byte(after)
    assert (trace.summary().count, trace.summary().waits) == (0, 1)


def test_a_meter_follows_a_change_within_seconds() -> None:
    now = [0.0]
    meter = Meter(clock=lambda: now[0])
    for _ in range(20):
        meter.add(1000)
        now[0] += 1
        rate = meter.rate()
    assert rate == pytest.approx(1000, rel=0.01)
    now[0] += 20
    assert meter.rate() < 10
    assert meter.total == 20_000


def test_a_flow_is_forgotten_when_it_is_old() -> None:
    now = [0.0]
    flows = Flows(clock=lambda: now[0])
    flows.add("a", 1000, 1.0)
    flows.add("a", 3000, 1.0)
    assert flows.rates() == {"a": 2000.0}
    now[0] += 60
    assert flows.rates() == {}


def test_the_lowest_of_several_caps_holds() -> None:
    limits = AllLimits([TokenBucket(None), TokenBucket(8_000_000), TokenBucket(80_000_000)])
    assert limits.rate_bits == 8_000_000
    assert AllLimits([TokenBucket(None)]).rate_bits is None
