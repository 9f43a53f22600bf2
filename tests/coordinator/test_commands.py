"""The commands, as a person types them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from nodes.models import EnrolmentKey, digest_of
from tests.site_fixtures import Fleet
from transfers.links import Links
from transfers.models import Job, JobState

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_submit_watch_cancel_and_purge(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", labels={"zone": "a"})
    said = run("submit", payload, "--labels", "zone=a", "--topology", "pipeline", "--shard-size", "1MiB", "--name", "x")
    job = Job.objects.get()
    assert said.startswith(job.id.hex)
    assert "3.1 MB in 2 files, 4 shards, by pipeline to zone=a" in said
    with pytest.raises(CommandError, match="cancel it before"):
        run("purge", job.id.hex)
    run("cancel", job.id.hex[:8], "--reason", "no")
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.CANCELLED, "no")
    with pytest.raises(SystemExit):
        run("watch", job.id.hex[:6])
    assert "1 node will remove" in run("purge", job.id.hex)


def test_watching_a_completed_job_says_so_and_succeeds(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    run("submit", payload)
    job = Job.objects.get()
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    assert run("watch", job.id.hex).startswith("mesh  complete  100.0%  2 of 2 nodes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit", "nonsense"], "source: "),
        (["submit", "gs://weights/llama/", "--nodes", "gpu-77"], "nodes: no node is named gpu-77"),
        (["cancel", "ab"], "at least its first 4"),
        (["cancel", "abcdef"], "no job begins with abcdef"),
        (["token", "nobody"], "no active user"),
        (["enrolment_key", "revoke", "none"], "no key is named"),
        (["enrolment_key", "make"], "name the key"),
    ],
)
def test_errors_are_one_line_that_says_what_to_change(words: list[str], said: str, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    with pytest.raises(CommandError, match=said):
        run(*words)


def test_a_made_token_opens_the_api(admin: AbstractUser, links: Links) -> None:
    token = run("token", "ada", "--days", "1").strip()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.get("/api/v1/jobs/").status_code == 200


def test_keys_are_made_listed_and_revoked_and_nodes_can_register_at_once(links: Links, tmp_path: Path) -> None:
    from transfers.errors import NotEnrolled
    from transfers.scheduler.types import NodeInfo

    key = run("enrolment_key", "make", "pool").strip()
    assert EnrolmentKey.objects.get(name="pool").digest == digest_of(key)
    info = NodeInfo("gpu-01", "127.0.0.1:1", "ab" * 16)
    assert links.scheduler.register(info, key).epoch
    assert "valid" in run("enrolment_key", "list")
    run("enrolment_key", "revoke", "pool")
    with pytest.raises(NotEnrolled):
        links.scheduler.register(info, key)
    other = tmp_path / "key"
    other.write_text("a key that a secret manager made\n")
    assert run("enrolment_key", "make", "given", "--key-file", str(other)) == ""
    assert links.scheduler.register(info, "a key that a secret manager made").epoch
