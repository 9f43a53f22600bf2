"""What the coordinator signs for its nodes: the plan, and the digests of shards once they are proven."""

from __future__ import annotations

import json

import pytest

from nodes.models import EnrolmentKey
from nodes.signer import signer
from tests.site_fixtures import Fleet
from transfers import submission
from transfers.dataplane.digest import crc32c
from transfers.dataplane.layout import Layout
from transfers.errors import InvalidTransition
from transfers.links import Links
from transfers.models import Job, JobState, Shard
from transfers.publishing import document_of, publish
from transfers.signing import open_signed, public_key_of

pytestmark = pytest.mark.django_db
MIB = 1 << 20
FILES = {"config.json": b"{}" * 50, "model.bin": bytes(range(256)) * 4096 * 3}  # as the fixture made them


@pytest.fixture
def job(fleet: Fleet, links: Links, payload: str) -> Job:
    fleet.add("gpu-01")
    return submission.submit({"source": payload, "shard_size": MIB})


def shard_digests(job: Job) -> dict[int, int]:
    run = b"".join(FILES.values())
    layout = Layout.from_dict(json.loads(job.document.text)["layout"])
    ranges = map(layout.shard_range, range(layout.shard_count))
    return {shard: crc32c(run[start : start + length]) for shard, (start, length) in enumerate(ranges)}


def test_the_plan_in_the_scheduler_is_signed_by_the_key_that_enrolment_gives(job: Job, links: Links) -> None:
    _, key = EnrolmentKey.issue("pool")
    text = links.scheduler.plan(job.id.hex) or ""
    assert open_signed(text, [public_key_of(key)], "the plan") == job.document.text


def test_digests_are_signed_once_they_agree_with_the_sums_of_the_bucket(job: Job, links: Links) -> None:
    digests = shard_digests(job)
    assert document_of(job, {0: digests[0]}) == job.document.text
    assert json.loads(document_of(job, digests))["digests"] == list(digests.values())
    for shard, crc in digests.items():
        Shard.objects.filter(job=job, index=shard).update(crc32c=crc)
    links.scheduler.forget(job.id.hex)
    publish(job, links)
    plan = open_signed(links.scheduler.plan(job.id.hex) or "", [signer().public_key], "the plan")
    assert json.loads(plan)["digests"] == list(digests.values())


def test_digests_that_a_bad_first_read_made_are_not_signed(job: Job) -> None:
    digests = shard_digests(job)
    assert document_of(job, digests | {1: digests[1] ^ 1}) == job.document.text


def test_a_job_that_the_planner_published_meanwhile_is_published(job: Job, links: Links) -> None:
    mine = Job.objects.get(pk=job.pk)
    Job.objects.filter(pk=job.pk).update(state=JobState.PLANNED)
    mine.state = JobState.PLANNED
    other = Job.objects.get(pk=job.pk)
    publish(other, links)
    assert publish(mine, links) == ["gpu-01"]
    assert Job.objects.get(pk=job.pk).state == mine.state == JobState.RUNNING
    submission.cancel(other)
    mine.state = JobState.PLANNED
    with pytest.raises(InvalidTransition):
        publish(mine, links)
