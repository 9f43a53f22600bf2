"""Standing distributions: versions come and go by the source, nodes by their labels; whatever is lost comes right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from fdist_site.local.gcs_server import GcsServer
from tests.coordinator.standing_stage import LABELS, Stage
from tests.site_fixtures import Fleet, fold
from transfers import submission
from transfers.errors import InvalidTransition, PlanError
from transfers.links import Links
from transfers.metrics.standing import figures
from transfers.models import Job, JobNode, JobNodeState, JobState, Standing, StandingEvent, StandingNode, Webhook
from transfers.standing import acts
from transfers.standing.decide import NO_NODE
from transfers.webhooks import outbox

pytestmark = pytest.mark.django_db
BOTH = ("gpu-01", "gpu-02")


@pytest.fixture
def stage(fleet: Fleet, links: Links, gcs: GcsServer) -> Iterator[Stage]:
    found = Stage(fleet, links, gcs)
    found.put("one")
    yield found
    found.keeper._listers.shutdown()


@pytest.fixture
def running(stage: Stage) -> Stage:
    """Version 1 is on both nodes and in use."""
    stage.nodes(*BOTH)
    stage.create()
    stage.rounds()
    assert stage.uses() == dict.fromkeys(BOTH, 1)
    return stage


def newer(stage: Stage, text: str = "two") -> None:
    stage.put(text)
    stage.look()


# --- versions


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
        newer(running, text)
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
    newer(running)
    running.coordinate()
    running.nodes("gpu-04")
    JobNode.objects.filter(job=running.version(2).job, node__name="gpu-01").update(state=JobNodeState.DONE)
    running.coordinate()
    assert running.standing().current_number == 2


def test_one_that_is_not_used_yet_gives_way_to_a_newer(running: Stage) -> None:
    newer(running, "two")
    running.coordinate()
    assert running.version(2).job.state == JobState.RUNNING
    newer(running, "three")
    running.rounds(4)
    assert running.version(2).job.state == JobState.CANCELLED
    assert running.version(2).retired_at is not None
    assert running.uses() == dict.fromkeys(BOTH, 3)
    assert running.numbers("gpu-01") == {1, 3}
    assert "superseded" in running.kinds()


def test_a_version_that_fails_leaves_the_link_where_it_is_and_says_why(running: Stage) -> None:
    newer(running)
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
    newer(running)
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
    newer(running)
    running.rounds(4)
    assert running.standing().trouble == "" and running.uses() == dict.fromkeys(BOTH, 2)


# --- nodes


def test_a_node_that_joins_gets_what_the_others_use(running: Stage) -> None:
    Job.objects.update(finished_at=timezone.now() - timedelta(days=2))
    running.coordinate()  # the scheduler keeps it at hand all the same
    assert running.links.scheduler.job(running.job(1)) is not None
    running.nodes("gpu-03")
    running.rounds(3)
    assert running.uses() == dict.fromkeys([*BOTH, "gpu-03"], 1)
    assert "joined" in running.kinds()


def test_a_node_that_loses_the_label_drops_all_of_it(running: Stage) -> None:
    newer(running)
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
    newer(running, "two")
    running.rounds(4)
    newer(running, "three")
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
    newer(running)
    running.rounds(4)
    running.links.redis.flushall()
    running.coordinate()
    assert running.links.scheduler.currents().jobs == {running.prefix: running.job(2)}
    assert running.uses() == dict.fromkeys(BOTH, 2)  # nobody has said otherwise
    running.nodes(*BOTH, "gpu-03")
    running.rounds(4)
    assert running.uses() == dict.fromkeys([*BOTH, "gpu-03"], 2)


def test_a_loss_of_redis_in_the_middle_of_a_version_is_made_good(running: Stage) -> None:
    newer(running)
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
    newer(running)
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
    newer(running)
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 2)
    assert "a round failed standing=a-first-one" in caplog.text


# --- people


def test_a_rollback_holds_until_there_is_something_newer(running: Stage) -> None:
    newer(running, "two")
    running.rounds(4)
    assert acts.rollback(running.standing(), why="by ada").number == 1
    assert running.links.scheduler.currents().jobs == {running.prefix: running.job(1)}
    running.rounds(3)
    assert running.uses() == dict.fromkeys(BOTH, 1) and running.standing().is_held
    running.look()
    running.rounds(2)
    assert running.uses() == dict.fromkeys(BOTH, 1)
    newer(running, "three")
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 3) and not running.standing().is_held
    assert running.numbers("gpu-01") == {1, 3}


def test_a_rollback_ends_when_somebody_resumes(running: Stage) -> None:
    newer(running, "two")
    running.rounds(4)
    acts.rollback(running.standing(), 1)
    running.rounds(2)
    acts.resume(running.standing())
    running.rounds(2)
    assert running.uses() == dict.fromkeys(BOTH, 2)


def test_a_round_that_began_before_a_rollback_does_not_undo_it(running: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    newer(running)
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
    newer(running)
    running.rounds(4)
    acts.delete(running.standing(), purge=False)
    running.create()
    running.rounds(4)
    assert running.uses() == dict.fromkeys(BOTH, 3)
    assert len(running.holds["gpu-01"]) == 3


def test_no_job_comes_among_the_versions(running: Stage) -> None:
    for within in ("versions/9", "current", "versions"):
        with pytest.raises(PlanError, match="has its versions") as caught:
            submission.submit({"source": running.source, "destination": f"{running.prefix}/{within}"})
        assert caught.value.field == "destination"
    submission.submit({"source": running.source, "destination": f"{running.prefix}/beside"})


def test_a_version_in_use_is_not_purged_as_a_job(running: Stage) -> None:
    with pytest.raises(InvalidTransition, match="version 1, which nodes keep"):
        submission.purge(running.version(1).job, running.links)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "No Name"}, "name"),
        ({"source": "models/llama"}, "source"),
        ({"source": "gs://no-such-bucket/llama/"}, "source"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"versions_kept": 0}, "versions_kept"),
        ({"check_seconds": 0}, "check_seconds"),
        ({"settle_seconds": -1}, "settle_seconds"),
        ({"marker": "../x"}, "marker"),
        ({"destination": "../x"}, "destination"),
        ({"nodes": {"labels": {}}}, "nodes"),
        ({"topology": "star"}, "topology"),
        ({"bucket_budget": "much"}, "bucket_budget"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(stage: Stage, fields: dict[str, object], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        stage.create(**fields)
    assert caught.value.field == field


def test_names_and_places_are_taken_once(running: Stage) -> None:
    with pytest.raises(PlanError, match="already") as caught:
        running.create(destination="elsewhere")
    assert caught.value.field == "name"
    with pytest.raises(PlanError, match="folder of its own") as caught:
        running.create(name="another", destination=f"{running.prefix}/versions/3")
    assert caught.value.field == "destination"


def test_what_cannot_change_is_refused(running: Stage) -> None:
    with pytest.raises(PlanError, match="cannot be changed") as caught:
        acts.change(running.standing(), {"source": "gs://standing/other/"})
    assert caught.value.field == "source"
    acts.change(running.standing(), {"share": 0.5, "topology": "pipeline"})
    newer(running)
    running.coordinate()
    assert (running.version(2).job.topology, running.version(2).job.quorum) == ("pipeline", 0.5)


def test_two_coordinators_at_once_start_one_version(running: Stage, links: Links) -> None:
    from transfers.coordinator.standing import StandingKeeper

    other = StandingKeeper(links, running.clock)
    newer(running)
    for keeper in (running.keeper, other):
        keeper.step()
        for listing in keeper._listings.values():
            listing.exception(timeout=10)
    running.keeper.step()
    other.step()
    running.rounds(4)
    assert running.standing().versions.count() == 2
    assert running.uses() == dict.fromkeys(BOTH, 2)


# --- what others are told


def test_webhooks_are_told_when_nodes_use_a_version(running: Stage) -> None:
    hook = Webhook.objects.create(
        name="restart", url="https://example.org/", kinds=["switched"], created_at=timezone.now() - timedelta(hours=1)
    )
    outbox.fill(running.links.cell)
    outbox.fill(running.links.cell)
    newer(running)
    running.rounds(1)
    outbox.fill(running.links.cell)
    assert hook.deliveries.count() == 1  # they are to use it, and do not yet
    running.rounds(3)
    outbox.fill(running.links.cell)
    acts.rollback(running.standing())
    running.rounds(3)
    outbox.fill(running.links.cell)
    told = [json.loads(row.body) for row in hook.deliveries.order_by("created_at")]
    assert [(each["event"], each["standing"]["version"]) for each in told] == [("switched", n) for n in (1, 2, 1)]
    assert told[1]["standing"] == {"name": running.prefix, "version": 2, "current_version": 2}
    assert told[1]["job"]["destination"] == f"{running.prefix}/versions/2"


def test_prometheus_is_told_who_is_behind(running: Stage) -> None:
    def value(name: str, **labels: str) -> float | None:
        found = {family.name: family for family in figures(running.links)}[name]
        wanted = {"standing": running.prefix, **labels}
        return next((sample.value for sample in found.samples if sample.labels == wanted), None)

    assert (value("fdist_standing_nodes", use="current"), value("fdist_standing_nodes", use="behind")) == (2, 0)
    running.nodes("gpu-03")
    running.coordinate()
    running.coordinate()
    assert value("fdist_standing_nodes", use="behind") == 1
    newer(running)
    running.coordinate()
    assert (value("fdist_standing_version", which="current"), value("fdist_standing_version", which="newest")) == (1, 2)
    assert (value("fdist_standing_failed"), value("fdist_standing_trouble")) == (0, 0)
    running.links.scheduler.fail_job(running.job(2), "gone")
    running.coordinate()
    assert value("fdist_standing_failed") == 1
    Standing.objects.update(check_at=timezone.now() - timedelta(minutes=20), trouble="no marker")
    assert (value("fdist_standing_check_overdue_seconds") or 0) >= 1200 and value("fdist_standing_trouble") == 1
    Standing.objects.update(paused=True)
    assert value("fdist_standing_check_overdue_seconds") is None
