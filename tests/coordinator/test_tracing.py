"""A shard's life can be read, by a command and over REST, from what ended and from what is under way."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from tests.site_fixtures import Fleet, client_of, crc_of, fold
from transfers import recorder, submission
from transfers.links import Links
from transfers.models import Job
from transfers.scheduler.types import Event
from transfers.tracing import trace

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(fleet: Fleet, links: Links, payload: str) -> Job:
    """Complete on two nodes, and in the record."""
    fleet.add("gpu-01", "gpu-02")
    found = submission.submit({"source": payload})
    fleet.announce(found.id.hex)
    fleet.move(found.id.hex)
    fold(links)
    return found


def test_a_shard_is_followed_from_the_bucket_to_the_last_node(job: Job, links: Links) -> None:
    found = trace(job, 0, links)
    first, second = [step for step in found.steps if step.what == "verified"]
    assert (first.source, second.source) == ("bucket", first.node)
    assert {first.node, second.node} == {"gpu-01", "gpu-02"}
    assert found.served == {"bucket": 1, first.node: 1}
    assert (found.shard.crc32c, found.copies, found.left_out) == (crc_of(0), 2, 0)
    assert [step.at for step in found.steps] == sorted(step.at for step in found.steps)


def test_only_what_a_node_received_or_gave_is_shown_when_it_is_named(job: Job, links: Links) -> None:
    reader = next(s.node for s in trace(job, 0, links).steps if s.what == "verified" and s.source != "bucket")
    assert {step.node for step in trace(job, 0, links, node=reader).steps} == {reader}
    assert trace(job, 0, links, node="nobody").steps == []


def test_a_transfer_under_way_is_in_the_trace(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    reply = links.scheduler.next("gpu-01", fleet.epochs["gpu-01"], [], want=1)
    steps = trace(job, reply.assignments[0].shard, links).steps
    assert [(step.what, step.node, step.source) for step in steps] == [
        ("assigned", "gpu-01", "bucket"),
        ("moving", "gpu-01", "bucket"),
    ]


def test_a_failed_try_says_when_it_was_assigned_when_its_first_byte_came_and_why_it_ended(
    job: Job, links: Links
) -> None:
    fields = {"job": job.id.hex, "node": "gpu-01", "shard": "2", "source": "gpu-02", "bytes": "77", "ms": "3000"}
    more = {"why": "stalled", "assigned": "1000000", "first": "500"}
    at = recorder.position(links.cell)
    assert recorder.fold(links.cell, at, [Event("99999999999999-0", 1_004_000, "failed", {**fields, **more})])
    steps = [step for step in trace(job, 2, links).steps if step.at < datetime(2000, 1, 1, tzinfo=UTC)]
    assert [(step.what, step.at.timestamp()) for step in steps] == [
        ("assigned", 1000.0),
        ("started", 1001.0),
        ("first byte", 1001.5),
        ("failed", 1004.0),
    ]
    assert (steps[-1].why, steps[-1].bytes) == ("stalled", 77)


def test_without_redis_the_record_alone_is_told(job: Job, links: Links) -> None:
    away = Links("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/1", links.cell)
    found = trace(job, 1, away)
    assert found.copies is None
    assert len([step for step in found.steps if step.what == "verified"]) == 2


def test_the_command_prints_it_and_says_which_shards_there_are(job: Job) -> None:
    out = StringIO()
    call_command("trace", job.id.hex[:8], "0", stdout=out)
    head, *steps = out.getvalue().splitlines()
    assert head.startswith(f"shard 0 of job {job.id.hex}: 524.3 kB, crc32c {crc_of(0):08x}, copies now 2")
    assert sum("verified" in line for line in steps) == 2
    assert steps[-1].startswith("served: bucket 1 x, gpu-0")
    with pytest.raises(CommandError, match=r"shard: job .* has 7 shards, from 0 on"):
        call_command("trace", job.id.hex, "7")


def test_it_is_read_over_rest_by_whoever_may_see_the_job(job: Job, api: APIClient, viewer: Any) -> None:
    address = f"/api/v1/jobs/{job.id}/shards/0/trace/"
    answer = api.get(address)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["shard"], body["copies"], body["served"]["bucket"]) == (0, 2, 1)
    assert {step["what"] for step in body["steps"]} >= {"started", "verified"}
    assert api.get(address, {"node": "x" * 64}).json()["errors"][0]["field"] == "node"
    assert api.get(f"/api/v1/jobs/{job.id}/shards/99/trace/").status_code == 404
    assert api.get(f"/api/v1/jobs/{job.id}/shards/99999999999999999999/trace/").status_code == 404
    assert client_of(viewer).get(address).status_code == 403
