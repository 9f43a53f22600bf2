"""What ends a stream: silence is a stall, a drip is slow, whichever way the clock falls between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from transfers.dataplane import pace as pace_module
from transfers.dataplane import watchdog as watchdog_module
from transfers.dataplane.pace import Pace
from transfers.dataplane.watchdog import Watched
from transfers.errors import PeerFailed

STALL = 5.0
LEAST = 16_000.0


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (pace_module, watchdog_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def verdict_of_pace(clock: Clock, came: Callable[[float], int], seconds: float) -> str:
    """Looked at every 10 ms: what came then, or the wait in vain."""
    pace, began = Pace(STALL, LEAST, "a stream"), clock.now
    while clock.now < began + seconds:
        clock.now += 0.01
        count = came(round(clock.now - began, 2))
        try:
            pace.moved(count) if count else pace.waited()
        except PeerFailed as error:
            return error.why
    return ""


def verdict_of_watchdog(clock: Clock, came: Callable[[float], int], seconds: float) -> str:
    read, began = Watched(lambda: False, STALL, LEAST), clock.now
    while clock.now < began + seconds and not read.why:
        clock.now += 0.01
        if count := came(round(clock.now - began, 2)):
            read.moved(count)
        read.look(clock.now)
    return read.why


@pytest.mark.parametrize("verdict", [verdict_of_pace, verdict_of_watchdog])
@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (lambda at: 200, ""),
        (lambda at: 100, "slow"),
        (lambda at: 20_000 if at % 4 == 0 else 0, "slow"),
        (lambda at: 5000 if at == 0.01 else 0, "stalled"),
        (lambda at: 200 if at < 3 else 0, "stalled"),
        (lambda at: 0, "stalled"),
    ],
    ids=["flows", "drips", "drips in lumps", "stops after its first bytes", "stops later", "never begins"],
)
def test_a_stream_that_falls_silent_has_stalled_and_one_that_drips_is_slow(
    clock: Clock, verdict: Callable[..., str], came: Callable[[float], int], expected: str
) -> None:
    assert verdict(clock, came, 60.0) == expected
