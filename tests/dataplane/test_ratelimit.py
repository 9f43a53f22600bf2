"""The cap holds, flows smoothly, is shared by threads, and changes at once."""

import threading
import time

import pytest

from transfers.dataplane.ratelimit import TokenBucket


def seconds_for(bucket: TokenBucket, total: int, step: int) -> float:
    started = time.monotonic()
    for _ in range(total // step):
        bucket.take(step)
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("rate", "step"), [(50_000_000, 64 * 1024), (1_000_000_000, 1 << 20), (10_000_000_000, 1 << 20)]
)
def test_the_rate_is_met(rate: int, step: int) -> None:
    bucket = TokenBucket(rate)
    total = rate // 8 // 2 // step * step
    ideal = total * 8 / rate
    assert 0.92 * ideal < seconds_for(bucket, total, step) < 1.3 * ideal


def test_no_limit_costs_next_to_nothing() -> None:
    assert seconds_for(TokenBucket(None), 100_000, 1) < 2
    assert seconds_for(TokenBucket(0), 100_000, 1) < 2


def test_a_slow_stream_flows_in_small_steps() -> None:
    bucket = TokenBucket(50_000_000)
    bucket.take(bucket.quantum)
    gaps = []
    for _ in range(20):
        started = time.monotonic()
        bucket.take(bucket.quantum)
        gaps.append(time.monotonic() - started)
    assert sorted(gaps)[len(gaps) // 2] < 0.03


def test_a_pause_does_not_save_up_a_flood() -> None:
    bucket = TokenBucket(8_000_000, burst=10_000)
    time.sleep(0.2)
    assert seconds_for(bucket, 110_000, 10_000) > 0.09


def test_threads_share_one_cap() -> None:
    bucket = TokenBucket(80_000_000)
    moved = [0] * 4
    stop = threading.Event()

    def run(which: int) -> None:
        while not stop.is_set():
            bucket.take(20_000, stop.is_set)
            moved[which] += 20_000

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join(1)
    assert sum(moved) == pytest.approx(5_000_000, rel=0.25)
    assert min(moved) > max(moved) / 2


def test_a_new_rate_frees_who_is_waiting() -> None:
    bucket = TokenBucket(8_000)
    done = threading.Event()

    def run() -> None:
        bucket.take(1_000_000)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    assert not done.wait(0.1)
    bucket.set_rate(8_000_000_000)
    assert done.wait(1)


def test_lifting_the_cap_frees_who_is_waiting() -> None:
    bucket = TokenBucket(8_000)
    waiter = threading.Thread(target=bucket.take, args=(10_000_000,), daemon=True)
    waiter.start()
    time.sleep(0.05)
    bucket.set_rate(None)
    waiter.join(1)
    assert not waiter.is_alive()


def test_a_cancelled_waiter_leaves_soon() -> None:
    bucket = TokenBucket(8_000)
    started = time.monotonic()
    bucket.take(10_000_000, lambda: time.monotonic() - started > 0.1)
    assert time.monotonic() - started < 1
