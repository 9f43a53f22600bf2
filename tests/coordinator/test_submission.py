"""Submitting, cancelling and purging, against the real scheduler and the real bucket."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py

from fdist_site.local.gcs_server import GcsServer
from nodes.signer import signer
from tests.site_fixtures import Fleet
from transfers import sources, submission
from transfers.errors import InvalidTransition, PlanError, SourceBusy
from transfers.links import Links
from transfers.models import Job, JobNode, JobState
from transfers.scheduler.types import Heartbeat
from transfers.signing import open_signed

pytestmark = pytest.mark.django_db


def submit(payload: str, **request: Any) -> Job:
    return submission.submit({"source": payload, **request})


def test_a_job_is_recorded_given_to_the_scheduler_and_its_nodes_are_woken(
    fleet: Fleet, links: Links, payload: str, redis_server: Any
) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submit(payload, topology="pipeline", priority=3)
    assert job.state == JobState.RUNNING
    assert (job.size, job.file_count, job.shard_count) == (3 * 2**20 + 100, 2, 7)
    view = links.scheduler.job(job.id.hex)
    assert view is not None
    assert (view.state, view.topology, view.nodes, view.priority) == ("running", "pipeline", 2, 3)
    plan = json.loads(open_signed(links.scheduler.plan(job.id.hex) or "", [signer().public_key], "the plan"))
    assert plan["destination"] == "llama"
    assert [row[0] for row in plan["layout"]["files"]] == ["config.json", "model.bin"]
    broker = redis_py.Redis.from_url(redis_server.broker_url)
    assert [broker.llen(f"node.{name}") for name in ("gpu-01", "gpu-02")] == [1, 1]
    assert set(job.job_nodes.values_list("node__name", flat=True)) == {"gpu-01", "gpu-02"}
    assert job.shards.count() == 7
    first = job.files.get(index=0)
    assert first.object == "gs://weights/llama/config.json"
    assert first.generation


def test_a_refused_job_leaves_nothing_behind(fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01", disk_free=1000)
    with pytest.raises(PlanError, match=r"node gpu-01 has 1.0 kB free and the job needs 3.1 MB"):
        submit(payload)
    assert not Job.objects.exists()


def test_a_folder_without_its_slash_is_explained(fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    with pytest.raises(PlanError, match="is no object but a folder"):
        submit("gs://weights/llama")


@pytest.mark.parametrize("source", ["gs://weights/none.bin", "gs://weights/none/", "gs://no-such-bucket-here/x/"])
def test_what_the_bucket_does_not_have_is_refused(fleet: Fleet, payload: str, source: str) -> None:
    fleet.add("gpu-01")
    with pytest.raises(PlanError) as caught:
        submit(source)
    assert caught.value.field == "source"


def test_a_manifest_in_the_bucket_cuts_by_its_objects(fleet: Fleet, gcs: GcsServer, payload: str) -> None:
    fleet.add("gpu-01")
    gcs.put("weights", "cut/parts/a-0", b"a" * 1000)
    gcs.put("weights", "cut/parts/a-1", b"b" * 500)
    gcs.put("weights", "cut/parts/unrelated", b"c")
    files = [{"name": "a.bin", "shards": [{"object": "parts/a-0"}, {"object": "parts/a-1"}]}]
    gcs.put("weights", "cut/a.fdist.json", json.dumps({"fdist_manifest": 1, "files": files}).encode())
    job = submit("gs://weights/cut/a.fdist.json")
    assert list(job.shards.values_list("size", flat=True)) == [1000, 500]
    assert all(job.shards.values_list("crc32c", flat=True)), "whole objects have known digests"


def test_an_unreachable_bucket_is_to_be_tried_later(
    fleet: Fleet, links: Links, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("gpu-01")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    away = Links(links.redis_url, links.broker_url, links.cell)
    monkeypatch.setattr(sources, "RETRY", sources.RETRY.with_timeout(0.5))
    with pytest.raises(SourceBusy):
        submission.submit({"source": payload}, links=away)


def test_without_redis_a_job_is_planned_and_recorded(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    submission.node_facts(links)
    away = Links("redis://127.0.0.1:9/0", links.broker_url, links.cell)
    job = submission.submit({"source": payload}, links=away)
    assert job.state == JobState.PLANNED
    assert JobNode.objects.get(job=job).node.name == "gpu-01"


def test_cancel_ends_the_job_everywhere_and_only_once(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submit(payload)
    submission.cancel(job, "wrong model")
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.state == "cancelled"
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.CANCELLED, "wrong model")
    assert job.finished_at is not None
    with pytest.raises(InvalidTransition):
        submission.cancel(job)


def test_pause_and_resume_reach_the_scheduler(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submit(payload)
    for act, state in ((submission.pause, "paused"), (submission.resume, "running")):
        act(job)
        view = links.scheduler.job(job.id.hex)
        assert view is not None and view.state == state == job.state


def test_purge_orders_the_files_off_and_needs_a_job_that_ended(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submit(payload)
    with pytest.raises(InvalidTransition):
        submission.purge(job)
    submission.cancel(job)
    assert submission.purge(job) == 1
    orders = links.scheduler.heartbeat(Heartbeat("gpu-01", fleet.epochs["gpu-01"])).orders
    signature = signer().sign_purge(job.id.hex, "gpu-01")
    assert {"op": "purge", "job": job.id.hex, "signature": signature} in [dict(order) for order in orders]
    assert links.scheduler.job(job.id.hex) is None


def test_two_processes_that_end_a_job_at_once_do_not_both_win(fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    job = submit(payload)
    other = Job.objects.get(pk=job.pk)
    other.move_to(JobState.COMPLETE)
    with pytest.raises(InvalidTransition, match="became complete meanwhile"):
        job.move_to(JobState.CANCELLED)
