"""A run's calls made again cost what the run's cost only if they do the same."""

from __future__ import annotations

import itertools

import pytest

from fdist_site.local.redis_server import RedisServer
from tests.simulation.__main__ import play_busy
from tests.simulation.again import Recorder
from tests.simulation.report import text
from tests.simulation.scenarios import make


def test_what_a_busy_server_takes_is_told_of_the_very_same_work(redis_server: RedisServer) -> None:
    for name in ("chaos", "lost-second"):  # one after the other on one server, as the command line has it
        world, result = play_busy(redis_server, make(name, 1, 0.2), 1)
        assert result.sound, text(result)
        assert result.busy_us_per_assignment is not None
        assert result.busy_us_per_assignment * result.assignments > 1000 * world.meter.bare_server


@pytest.mark.parametrize("left_out", ["_next_", "_heartbeat_"])
def test_calls_that_give_something_else_when_made_again_are_not_compared(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    keep, calls = Recorder._keep, itertools.count()

    def forgetful(self: Recorder, args: tuple[object, ...]) -> None:
        if left_out not in str(args[:2]) or next(calls) != 5:
            keep(self, args)

    monkeypatch.setattr(Recorder, "_keep", forgetful)
    _, result = play_busy(redis_server, make("even", 1, 0.02), 1)
    assert not result.sound
    assert result.busy_us_per_assignment is None
    assert "cannot be compared" in text(result)
