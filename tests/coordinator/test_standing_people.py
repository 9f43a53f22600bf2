"""What people do to standing distributions: roll back, pause, delete."""

from __future__ import annotations

from typing import Any

import pytest

from tests.coordinator.standing_stage import BOTH, Stage
from transfers import submission
from transfers.errors import InvalidTransition, PlanError
from transfers.standing import acts

pytestmark = pytest.mark.django_db


def test_a_rollback_holds_until_there_is_something_newer(running: Stage) -> None:
    running.newer("two")
    running.rounds(4)
    assert acts.rollback(running.standing(), why="by ada").number == 1
    assert running.links.scheduler.currents().jobs == {running.prefix: running.job(1)}
    running.rounds(3)
    assert running.uses() == dict.fromkeys(BOTH, 1) and running.standing().is_held
    running.look()
    running.rounds(2)
    assert running.uses() == dict.fromkeys(BOTH, 1)
    running.newer("three")
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 3) and not running.standing().is_held
    assert running.numbers("gpu-01") == {1, 3}


def test_a_rollback_ends_when_somebody_resumes(running: Stage) -> None:
    running.newer("two")
    running.rounds(4)
    acts.rollback(running.standing(), 1)
    running.rounds(2)
    acts.resume(running.standing())
    running.rounds(2)
    assert running.uses() == dict.fromkeys(BOTH, 2)


def test_a_round_that_began_before_a_rollback_does_not_undo_it(running: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    running.newer()
    running.rounds(4)
    running.links.redis.flushall()  # so that the round has something to tell
    tell = running.keeper._tell

    def tell_late(standings: Any, told: Any) -> None:
        acts.rollback(running.standing())
        tell(standings, told)

    monkeypatch.setattr(running.keeper, "_tell", tell_late)
    running.keeper.step()
    assert running.links.scheduler.currents().jobs == {running.prefix: running.job(1)}


def test_a_rollback_that_cannot_be_says_why(running: Stage) -> None:
    with pytest.raises(InvalidTransition, match="keeps no version that was used before"):
        acts.rollback(running.standing())
    with pytest.raises(InvalidTransition, match="uses version 1 already"):
        acts.rollback(running.standing(), 1)
    with pytest.raises(PlanError, match="do not keep a version 7"):
        acts.rollback(running.standing(), 7)


def test_a_pause_stops_versions_and_not_nodes(running: Stage) -> None:
    acts.pause(running.standing())
    running.put("two")
    with pytest.raises(InvalidTransition, match="resume it"):
        acts.check(running.standing())
    running.nodes("gpu-03")
    running.rounds(3)
    assert running.uses() == dict.fromkeys([*BOTH, "gpu-03"], 1)
    assert running.standing().versions.count() == 1
    acts.resume(running.standing())
    running.rounds(4)
    assert running.uses() == dict.fromkeys([*BOTH, "gpu-03"], 2)


def test_deleted_with_its_files_nothing_stays_also_on_a_node_that_was_down(running: Stage) -> None:
    running.down("gpu-02")
    acts.delete(running.standing(), purge=True)
    running.rounds(2)
    assert running.links.scheduler.currents().jobs == {}
    assert running.holds["gpu-01"] == set() and "gpu-01" not in running.linked
    running.links.redis.flushall()  # and the order with it
    running.coordinate()
    running.nodes(*BOTH)
    running.act(move=False)
    running.rounds(3)
    assert running.holds["gpu-02"] == set() and "gpu-02" not in running.linked


def test_deleted_without_them_files_and_links_stay(running: Stage) -> None:
    job = running.version(1).job
    acts.delete(running.standing(), purge=False)
    running.rounds(3)
    assert running.holds["gpu-01"] == {job.id.hex} and running.linked["gpu-01"] == job.id.hex
    job.refresh_from_db()
    assert not job.pinned and job.purged_at is None
    submission.purge(job, running.links)
    running.rounds(2)
    assert running.holds["gpu-01"] == set()


def test_what_an_earlier_one_left_is_not_written_over(running: Stage) -> None:
    running.newer()
    running.rounds(4)
    acts.delete(running.standing(), purge=False)
    running.create()
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 3)
    assert len(running.holds["gpu-01"]) == 3
