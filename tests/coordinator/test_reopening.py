"""Retrying and verifying: jobs that have ended are taken up again."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py

from tests.site_fixtures import Fleet, fold
from transfers import reopening, submission
from transfers.coordinator.planner import Planner
from transfers.errors import InvalidTransition
from transfers.links import Links
from transfers.models import Job, JobEvent, JobNode, JobNodeState, JobState
from transfers.scheduler.types import Heartbeat

pytestmark = pytest.mark.django_db


def submitted(payload: str) -> Job:
    return submission.submit({"source": payload})


def states(job: Job) -> dict[str, str]:
    return dict(JobNode.objects.filter(job=job).values_list("node__name", "state"))


def finish(job: Job, fleet: Fleet, links: Links) -> None:
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    for name in fleet.epochs:  # those that held everything already have nothing to move
        if len(fleet.held.get((job.id.hex, name), {})) == job.shard_count:
            links.scheduler.finish(job.id.hex, name, fleet.epochs[name])
    fold(links)
    job.refresh_from_db()


def orders(fleet: Fleet, links: Links, name: str) -> list[dict[str, Any]]:
    return [dict(order) for order in links.scheduler.heartbeat(Heartbeat(name, fleet.epochs[name])).orders]


def test_a_cancelled_job_goes_on_where_it_was(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submitted(payload)
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex, turns=1)
    submission.cancel(job, "by mistake")
    assert set(states(job).values()) == {"stopped"}
    reopening.retry(job)
    assert (job.state, job.error, job.finished_at) == (JobState.RUNNING, "", None)
    finish(job, fleet, links)
    assert job.state == JobState.COMPLETE
    assert set(states(job).values()) == {"done"}
    read = list(job.transfers.filter(source=None, outcome="done").values_list("shard", flat=True))
    assert len(read) == len(set(read)), "what the nodes kept was not read again"


def test_the_end_that_the_recorder_had_not_seen_yet_does_not_end_the_new_try(
    fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01")
    job = submitted(payload)
    fold(links)
    submission.cancel(job)
    links.scheduler.forget("00" * 16)
    reopening.retry(job)
    fold(links)
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    assert set(states(job).values()) == {"enrolled"}
    assert "cancelled" in JobEvent.objects.filter(job=job).values_list("state", flat=True), "it did happen"


def test_a_node_that_was_away_gets_the_job_by_a_retry(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submitted(payload)
    links.scheduler.leave("gpu-02")
    gone = fleet.epochs.pop("gpu-02")
    assert gone
    finish(job, fleet, links)
    assert job.state == JobState.COMPLETE
    assert states(job) == {"gpu-01": "done", "gpu-02": "stopped"}
    fleet.add("gpu-02")
    reopening.retry(job)
    assert states(job) == {"gpu-01": "done", "gpu-02": "enrolled"}
    finish(job, fleet, links)
    assert (job.state, states(job)) == (JobState.COMPLETE, {"gpu-01": "done", "gpu-02": "done"})


def test_the_record_follows_when_the_scheduler_goes_on_for_a_node_that_is_back(
    fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01", "gpu-02", "gpu-03")
    job = submitted(payload)
    links.scheduler.finish(job.id.hex, "gpu-03", fleet.epochs.pop("gpu-03"), "the disk is full")
    links.scheduler.leave("gpu-02")
    fleet.epochs.pop("gpu-02")
    finish(job, fleet, links)
    assert (job.state, states(job)["gpu-02"]) == (JobState.COMPLETE, "stopped")
    fleet.add("gpu-02")
    links.scheduler.announce(job.id.hex, "gpu-02", fleet.epochs["gpu-02"], {})
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.state == "running"
    Planner(links).step()  # before the recorder has read of it
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.state == "running", "not ended again"
    fold(links)
    job.refresh_from_db()
    assert (job.state, job.finished_at) == (JobState.RUNNING, None)
    assert states(job) == {"gpu-01": "done", "gpu-02": "enrolled", "gpu-03": "failed"}
    finish(job, fleet, links)
    assert (job.state, states(job)["gpu-02"]) == (JobState.COMPLETE, "done")


@pytest.mark.parametrize("act", [reopening.retry, reopening.verify])
def test_an_unreachable_scheduler_changes_nothing(act: Any, fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submitted(payload)
    finish(job, fleet, links)
    if act is reopening.retry:
        JobNode.objects.filter(job=job).update(state=JobNodeState.FAILED)
    away = Links("redis://127.0.0.1:9/0", links.broker_url, links.cell)
    with pytest.raises(redis_py.RedisError):
        act(job, away)
    job.refresh_from_db()
    assert job.state == JobState.COMPLETE


def test_what_makes_no_sense_is_refused(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submitted(payload)
    with pytest.raises(InvalidTransition, match="goes on by itself"):
        reopening.retry(job)
    with pytest.raises(InvalidTransition, match="nothing to verify"):
        reopening.verify(job)
    finish(job, fleet, links)
    with pytest.raises(InvalidTransition, match="every node of job"):
        reopening.retry(job)
    submission.purge(job)
    job.refresh_from_db()
    with pytest.raises(InvalidTransition, match="were removed"):
        reopening.verify(job)


def test_after_a_purge_a_retry_brings_the_files_to_every_node_again(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submitted(payload)
    finish(job, fleet, links)
    submission.purge(job)
    fleet.held.clear()
    job.refresh_from_db()
    reopening.retry(job)
    assert (job.purged_at, states(job)) == (None, {"gpu-01": "enrolled", "gpu-02": "enrolled"})
    finish(job, fleet, links)
    assert job.state == JobState.COMPLETE
    assert job.bytes_from_gcs == 2 * 1000 * job.shard_count, "once for each try"


def test_verifying_reads_first_and_completes_when_every_node_has_shown_its_files(
    fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submitted(payload)
    finish(job, fleet, links)
    assert reopening.verify(job) == 2
    assert (job.state, set(states(job).values())) == (JobState.RUNNING, {"enrolled"})
    assert {"op": "verify", "job": job.id.hex} in orders(fleet, links, "gpu-01")
    del fleet.held[job.id.hex, "gpu-01"][1]  # it found that shard damaged
    finish(job, fleet, links)
    assert (job.state, set(states(job).values())) == (JobState.COMPLETE, {"done"})
    assert job.transfers.filter(node__name="gpu-01", shard=1, outcome="done").count() == 2


def test_a_running_job_is_verified_without_a_break(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submitted(payload)
    JobNode.objects.filter(job=job, node__name="gpu-01").update(state=JobNodeState.DONE)
    assert reopening.verify(job) == 1
    assert job.state == JobState.RUNNING
    assert states(job)["gpu-01"] == "done"


def test_the_planner_leaves_a_job_that_was_taken_up_again_alone(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submitted(payload)
    submission.cancel(job)
    reopening.retry(job)
    Planner(links).step()
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.state == "running"
    job.refresh_from_db()
    assert job.state == JobState.RUNNING


def test_events_say_what_happened_in_order(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submitted(payload)
    submission.pause(job, reason="by ada")
    submission.resume(job)
    links.scheduler.finish(job.id.hex, "gpu-02", fleet.epochs["gpu-02"], "the disk is full")
    fleet.epochs.pop("gpu-02")
    finish(job, fleet, links)
    rows = JobEvent.objects.filter(job=job).values_list("kind", "node__name", "state", "why")
    assert [row for row in rows if row[0] != "enrolled"] == [
        ("job_state", None, "paused", "by ada"),
        ("job_state", None, "running", ""),
        ("node_failed", "gpu-02", "", "the disk is full"),
        ("node_done", "gpu-01", "", ""),
        ("job_state", None, "complete", "1 of 2 nodes failed"),
    ]


def test_priority_is_changed_live_and_only_of_an_open_job(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submitted(payload)
    submission.set_priority(job, 7)
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.priority == 7
    assert Job.objects.get(pk=job.pk).priority == 7
    submission.cancel(job)
    with pytest.raises(InvalidTransition):
        submission.set_priority(job, 1)
