"""Versions of standing distributions: they come and go by the source; what fails leaves links where they are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.coordinator.standing_stage import BOTH, LABELS, Stage
from tests.site_fixtures import fold
from transfers.coordinator.standing import StandingKeeper
from transfers.links import Links
from transfers.models import JobNode, JobNodeState, JobState, Standing, StandingNode
from transfers.standing.decide import NO_NODE

pytestmark = pytest.mark.django_db


def test_the_first_version_is_used_when_all_have_it(stage: Stage) -> None:
    stage.nodes(*BOTH)
    stage.nodes("other", labels={"model": "qwen"})
    stage.create()
    stage.coordinate()
    job = stage.version(1).job
    assert (job.destination, job.pinned, job.quorum) == (f"{stage.prefix}/versions/1", True, 1.0)
    assert job.selector == {"labels": LABELS}
    assert stage.links.scheduler.currents().jobs == {}
    stage.rounds(2)
    assert stage.links.scheduler.currents().jobs == {stage.prefix: stage.job(1)}
    stage.rounds(1)
    assert stage.uses() == dict.fromkeys(BOTH, 1)
    assert stage.kinds() == ["created", "started", "switched", "reached"]
    assert stage.numbers("other") == set()


def test_a_new_generation_is_a_new_version_and_an_old_one_goes(running: Stage) -> None:
    for text, number, kept in (("two", 2, {1, 2}), ("three", 3, {2, 3})):
        running.newer(text)
        running.rounds(4)
        assert running.uses() == dict.fromkeys(BOTH, number)
        assert running.numbers("gpu-01") == running.numbers("gpu-02") == kept
    first = running.version(1)
    assert first.retired_at is not None and first.job.purged_at is not None and not first.job.pinned


def test_nothing_new_in_the_bucket_is_no_new_version(running: Stage) -> None:
    running.look()
    running.rounds()
    assert running.standing().versions.count() == 1


def test_a_source_that_is_being_written_is_waited_for(stage: Stage) -> None:
    stage.nodes(*BOTH)
    stage.create(settle_seconds=60)
    stage.look()
    stage.coordinate()
    standing = stage.standing()
    assert standing.versions.count() == 0 and standing.seen_times == 2
    assert standing.check_at - timezone.now() < timedelta(seconds=61)
    Standing.objects.update(seen_since=timezone.now() - timedelta(seconds=61))
    stage.put("more", "second.json")
    stage.look()
    stage.coordinate()
    assert stage.standing().versions.count() == 0 and stage.standing().seen_times == 1
    Standing.objects.update(seen_since=timezone.now() - timedelta(seconds=61))
    stage.look()
    stage.coordinate()
    assert stage.version(1).job.file_count == 2


def test_with_a_marker_only_that_says_when_an_upload_is_whole(stage: Stage) -> None:
    stage.nodes(*BOTH)
    stage.create(marker="DONE", settle_seconds=60)
    stage.look()
    stage.coordinate()
    assert stage.standing().versions.count() == 0 and "DONE" in stage.standing().trouble
    stage.put("", "DONE")
    stage.look()
    stage.rounds()
    assert stage.version(1).job.file_count == 2 and stage.standing().trouble == ""
    stage.put("half", "second.json")
    stage.look()
    stage.coordinate()
    assert stage.standing().versions.count() == 1
    stage.put("", "DONE")
    stage.look()
    stage.coordinate()
    assert stage.version(2).job.file_count == 3


def test_a_share_of_the_nodes_is_enough(stage: Stage) -> None:
    names = [f"gpu-{number:02d}" for number in range(4)]
    stage.nodes(*names)
    stage.create(share=0.75)
    stage.coordinate()
    rows = JobNode.objects.filter(job=stage.version(1).job)
    rows.filter(node__name__in=names[:2]).update(state=JobNodeState.DONE)
    stage.coordinate()
    assert stage.standing().wanted is None
    rows.filter(node__name=names[2]).update(state=JobNodeState.DONE)
    stage.coordinate()
    assert stage.standing().current_number == 1


def test_nodes_that_are_down_drain_or_join_later_hold_nothing_up(running: Stage) -> None:
    running.nodes("gpu-03")
    running.rounds()
    running.links.scheduler.set_draining("gpu-03", True)
    running.down("gpu-02")
    running.newer()
    running.coordinate()
    running.nodes("gpu-04")
    JobNode.objects.filter(job=running.version(2).job, node__name="gpu-01").update(state=JobNodeState.DONE)
    running.coordinate()
    assert running.standing().current_number == 2


def test_one_that_is_not_used_yet_gives_way_to_a_newer(running: Stage) -> None:
    running.newer("two")
    running.coordinate()
    assert running.version(2).job.state == JobState.RUNNING
    running.newer("three")
    running.rounds(4)
    assert running.version(2).job.state == JobState.CANCELLED
    assert running.version(2).retired_at is not None
    assert running.uses() == dict.fromkeys(BOTH, 3)
    assert running.numbers("gpu-01") == {1, 3}
    assert "superseded" in running.kinds()


def test_a_version_that_fails_leaves_the_link_where_it_is_and_says_why(running: Stage) -> None:
    running.newer()
    running.coordinate()
    running.links.scheduler.fail_job(running.job(2), "the object was replaced")
    running.coordinate()
    for _ in range(2):
        running.act(move=False)
        running.coordinate()
    assert running.uses() == dict.fromkeys(BOTH, 1)
    assert running.version(2).failure == "the object was replaced"
    assert "failed" in running.kinds()
    running.clock.now += 61
    running.rounds(4)  # it is tried again by itself
    assert running.uses() == dict.fromkeys(BOTH, 2)


def test_a_node_that_fails_is_behind_says_why_and_is_tried_again(running: Stage) -> None:
    running.newer()
    running.coordinate()
    job = running.job(2)
    running.links.scheduler.announce(job, "gpu-02", running.fleet.epochs["gpu-02"], {})
    running.links.scheduler.finish(job, "gpu-02", running.fleet.epochs["gpu-02"], error="its disk is full")
    fold(running.links)
    running.coordinate()
    assert StandingNode.objects.get(node__name="gpu-02").why == "version 2: its disk is full"
    assert running.standing().current_number == 1
    running.clock.now += 61
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 2)
    assert StandingNode.objects.get(node__name="gpu-02").why == ""


def test_without_a_node_a_version_waits_for_one(stage: Stage) -> None:
    stage.create()
    stage.coordinate()
    assert stage.standing().trouble == NO_NODE and stage.standing().versions.count() == 0
    stage.nodes("gpu-01")
    stage.rounds(4)
    assert stage.uses() == {"gpu-01": 1} and stage.standing().trouble == ""


def test_a_source_that_cannot_be_a_version_says_why(running: Stage) -> None:
    bucket = running.gcs.client().bucket("standing")
    bucket.delete_blobs(list(bucket.list_blobs(prefix=f"{running.prefix}/")))
    running.look()
    running.coordinate()
    assert "holds no object" in running.standing().trouble
    assert running.kinds().count("trouble") == 1
    running.look()
    running.coordinate()
    assert running.kinds().count("trouble") == 1  # told once
    running.newer()
    running.rounds(4)
    assert running.standing().trouble == "" and running.uses() == dict.fromkeys(BOTH, 2)


def test_two_coordinators_at_once_start_one_version(running: Stage, links: Links) -> None:
    other = StandingKeeper(links, running.clock)
    running.newer()
    for keeper in (running.keeper, other):
        keeper.step()
        for listing in keeper._listings.values():
            listing.exception(timeout=10)
    running.keeper.step()
    other.step()
    running.rounds(4)
    assert running.standing().versions.count() == 2
    assert running.uses() == dict.fromkeys(BOTH, 2)
