"""The cap holds, flows smoothly, is shared by threads, and changes at once.

Time is the test's own where a rate is judged: how late a busy machine wakes somebody up is then known.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from itertools import accumulate

import pytest

from transfers.dataplane import ratelimit
from transfers.dataplane.ratelimit import TokenBucket

PATIENCE = 60.0  # seconds, for what happens at once on a machine that has nothing else to do
MOMENT = 1e-6  # seconds: no clock turns by less


class Clock:
    """A time that goes on when somebody waits, and then `late()` seconds longer than was wanted."""

    def __init__(self, late: Callable[[], float] = lambda: 0.0) -> None:
        self.now = 1000.0
        self.waits = 0
        self._late = late

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits += 1
        self.now += max(seconds, MOMENT) + self._late()
        return False


class Turns(threading.Condition):
    """Whoever waits turns the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        return self._clock.wait(timeout)


MakeBucket = Callable[..., tuple[TokenBucket, Clock]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> MakeBucket:
    """Gives a bucket of this rate, and its clock, which wakes waiters up late by what `late` gives."""

    def make(
        rate: int | None, burst: int | None = None, late: Callable[[], float] = lambda: 0.0
    ) -> tuple[TokenBucket, Clock]:
        clock = Clock(late)
        monkeypatch.setattr(ratelimit, "time", clock)
        bucket = TokenBucket(rate, burst)
        bucket._changed = Turns(clock)
        return bucket, clock

    return make


def seconds_for(bucket: TokenBucket, clock: Clock, total: int, step: int) -> float:
    started = clock.now
    for _ in range(total // step):
        bucket.take(step)
    return clock.now - started


@pytest.mark.parametrize("late", [0.0, 0.005], ids=["woken in time", "woken late"])
@pytest.mark.parametrize(
    ("rate", "step"), [(50_000_000, 64 * 1024), (1_000_000_000, 1 << 20), (10_000_000_000, 1 << 20)]
)
def test_the_rate_is_met(rate: int, step: int, late: float, make: MakeBucket) -> None:
    chance = random.Random(1)
    bucket, clock = make(rate, late=lambda: chance.uniform(0.0, late))
    total = rate // 8 // 2 // step * step
    ideal = total * 8 / rate
    burst = max(rate / 8 * 0.01, 64 * 1024)
    assert ideal - burst * 8 / rate <= seconds_for(bucket, clock, total, step) <= ideal + late + 1e-6


def test_the_rate_is_never_exceeded_by_the_real_clock() -> None:
    bucket = TokenBucket(80_000_000)
    started = time.monotonic()
    for _ in range(50):
        bucket.take(50_000)
    assert time.monotonic() - started >= (50 * 50_000 - 100_000) / 10_000_000  # 10 ms worth may pass at once


@pytest.mark.parametrize("rate", [None, 0])
def test_no_limit_makes_nobody_wait(rate: int | None, make: MakeBucket) -> None:
    bucket, clock = make(rate)
    for _ in range(1000):
        bucket.take(1 << 30)
    assert clock.waits == 0


def test_a_slow_stream_flows_in_small_steps(make: MakeBucket) -> None:
    bucket, clock = make(50_000_000)
    bucket.take(bucket.quantum)
    gaps = []
    for _ in range(20):
        started = clock.now
        bucket.take(bucket.quantum)
        gaps.append(clock.now - started)
    assert max(gaps) <= 0.01 + 1e-6
    assert sum(gaps) > 0.15


def test_a_pause_does_not_save_up_a_flood(make: MakeBucket) -> None:
    bucket, clock = make(8_000_000, burst=10_000)
    clock.now += 100.0
    assert seconds_for(bucket, clock, 110_000, 10_000) == pytest.approx(0.1, abs=1e-3)


class Notified(threading.Condition):
    """Waits until somebody notifies, however long that takes: the test itself turns the clock."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(PATIENCE)


def test_threads_share_one_cap_and_go_in_the_order_in_which_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(ratelimit, "time", clock)
    bucket = TokenBucket(8_000_000, burst=0)  # 1 MB a second
    bucket._changed = Notified()
    amounts = [40_000, 10_000, 30_000, 20_000]
    threads = []
    for amount, behind in zip(amounts, accumulate(amounts), strict=True):
        threads.append(threading.Thread(target=bucket.take, args=(amount,), daemon=True))
        threads[-1].start()
        wait_until(lambda behind=behind: bucket._reserved == behind)
    for turn, place in enumerate(accumulate(amounts)):
        clock.now = 1000.0 + place / 1_000_000 - 0.001
        notify(bucket)
        assert all(thread.is_alive() for thread in threads[turn:])
        clock.now += 0.002
        notify(bucket)
        threads[turn].join(PATIENCE)
        assert [thread.is_alive() for thread in threads] == [False] * (turn + 1) + [True] * (3 - turn)


def notify(bucket: TokenBucket) -> None:
    with bucket._changed:
        bucket._changed.notify_all()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("rate", [8_000_000_000, None], ids=["raised", "lifted"])
def test_a_new_rate_frees_who_is_waiting(rate: int | None) -> None:
    bucket = TokenBucket(8_000)
    waiter = threading.Thread(target=bucket.take, args=(10_000_000,), daemon=True)  # for three hours
    waiter.start()
    wait_until(lambda: bucket._reserved == 10_000_000)
    waiter.join(0.1)
    assert waiter.is_alive()
    bucket.set_rate(rate)
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_a_cancelled_waiter_leaves_soon(make: MakeBucket) -> None:
    bucket, clock = make(8_000)
    started = clock.now
    bucket.take(10_000_000, lambda: clock.now - started > 0.1)
    assert clock.now - started < 0.2
