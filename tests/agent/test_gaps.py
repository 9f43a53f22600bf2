"""The trace of hand-overs, and the rates."""

from __future__ import annotations

import pytest

from nodes.agent.gaps import GapTrace, Lanes
from nodes.agent.rates import AllLimits, Flows, Meter
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


def test_the_lane_that_was_freed_last_takes_the_next_transfer() -> None:
    lanes = Lanes()
    assert lanes.take(gcs=False, parkings=0) == (None, False)
    lanes.free(gcs=False, at=1.0, parkings=0)
    lanes.free(gcs=False, at=2.0, parkings=0)
    assert lanes.take(gcs=False, parkings=0) == (2.0, False)
    assert lanes.take(gcs=False, parkings=1) == (1.0, True)
    assert lanes.take(gcs=True, parkings=1) == (None, False)


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
