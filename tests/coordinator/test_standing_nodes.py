"""Nodes of standing distributions come and go by their labels; whatever is lost comes right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.coordinator.standing_stage import BOTH, Stage
from transfers import submission
from transfers.models import Job, JobNode, JobNodeState, Standing, StandingEvent
from transfers.standing import acts

pytestmark = pytest.mark.django_db


def test_a_node_that_joins_gets_what_the_others_use(running: Stage) -> None:
    Job.objects.update(finished_at=timezone.now() - timedelta(days=2))
    running.coordinate()  # the scheduler keeps it at hand all the same
    assert running.links.scheduler.job(running.job(1)) is not None
    running.nodes("gpu-03")
    running.rounds(3)
    assert running.uses() == dict.fromkeys([*BOTH, "gpu-03"], 1)
    assert "joined" in running.kinds()


def test_a_node_that_loses_the_label_drops_all_of_it(running: Stage) -> None:
    running.newer()
    running.rounds(4)
    running.nodes("gpu-02", labels={"model": "qwen"})
    running.rounds(4)
    assert running.uses() == {"gpu-01": 2}
    assert running.numbers("gpu-02") == set() and "gpu-02" not in running.linked
    assert running.states(2)["gpu-02"] == JobNodeState.WITHDRAWN
    assert "left" in running.kinds()
    running.nodes("gpu-02")  # and has it again
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 2)


def test_a_node_that_was_down_comes_back_to_what_the_others_use(running: Stage) -> None:
    running.down("gpu-02")
    running.newer("two")
    running.rounds(4)
    running.newer("three")
    running.rounds(4)
    assert running.standing().current_number == 3 and running.linked["gpu-02"] == running.job(1)
    running.nodes("gpu-02")
    running.rounds(5)
    assert running.uses() == dict.fromkeys(BOTH, 3)
    assert running.numbers("gpu-02") == {3}  # what is older than what is kept goes, once it is not used


def test_a_node_whose_files_are_gone_gets_them_again(running: Stage) -> None:
    running.holds["gpu-02"].clear()
    running.linked.pop("gpu-02")
    running.fleet.held.pop((running.job(1), "gpu-02"))
    running.act(move=False)
    JobNode.objects.update(finished_at=timezone.now() - timedelta(minutes=1))
    running.coordinate()
    running.rounds(3)
    assert running.numbers("gpu-02") == {1}
    assert running.uses() == dict.fromkeys(BOTH, 1)


def test_a_loss_of_redis_is_made_good(running: Stage) -> None:
    running.newer()
    running.rounds(4)
    running.links.redis.flushall()
    running.coordinate()
    assert running.links.scheduler.currents().jobs == {running.prefix: running.job(2)}
    assert running.uses() == dict.fromkeys(BOTH, 2)  # nobody has said otherwise
    running.nodes(*BOTH, "gpu-03")
    running.rounds(4)
    assert running.uses() == dict.fromkeys([*BOTH, "gpu-03"], 2)


def test_a_loss_of_redis_in_the_middle_of_a_version_is_made_good(running: Stage) -> None:
    running.newer()
    running.coordinate()
    running.links.redis.flushall()
    running.coordinate()
    running.nodes(*BOTH)
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 2)


def test_a_changed_selector_moves_it(running: Stage) -> None:
    running.nodes("gpu-03", labels={"model": "qwen"})
    running.coordinate()
    acts.change(running.standing(), {"nodes": {"labels": {"model": "qwen"}}})
    running.rounds(4)
    assert running.uses() == {"gpu-03": 1}
    assert running.numbers("gpu-01") == set()


def test_a_node_that_leaves_the_fleet_is_listed_no_longer_and_is_served_when_it_is_back(running: Stage) -> None:
    running.down("gpu-02")
    running.coordinate()
    running.coordinate()
    assert running.uses() == {"gpu-01": 1}
    left = StandingEvent.objects.filter(kind="left").values_list("node", flat=True)
    assert list(left) == ["gpu-02"]
    running.holds["gpu-02"].clear()  # the same name on a new machine
    running.linked.pop("gpu-02")
    running.fleet.held.pop((running.job(1), "gpu-02"))
    running.nodes("gpu-02")
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 1) and running.numbers("gpu-02") == {1}


def test_the_job_of_the_version_in_use_goes_on_though_somebody_cancels_it(running: Stage) -> None:
    running.nodes("gpu-03")
    running.coordinate()
    submission.cancel(running.version(1).job, "by mistake", running.links)
    running.coordinate()
    running.clock.now += 61
    running.rounds(4)
    assert running.uses() == dict.fromkeys([*BOTH, "gpu-03"], 1)


def test_a_version_whose_job_somebody_cancels_is_not_used(running: Stage) -> None:
    running.newer()
    running.coordinate()
    submission.cancel(running.version(2).job, "not this one", running.links)
    running.clock.now += 7200
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 1)


def test_a_fault_with_one_does_not_end_the_work_for_the_others(
    running: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = running.create(name="a-first-one", destination="elsewhere")
    record = running.keeper._see_to

    def see_to(standing: Standing, fleet: Any) -> None:
        if standing.pk == broken.pk:
            raise ZeroDivisionError
        record(standing, fleet)

    monkeypatch.setattr(running.keeper, "_see_to", see_to)
    running.newer()
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 2)
    assert "a round failed standing=a-first-one" in caplog.text
