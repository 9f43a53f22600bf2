"""Headers, log in, and pages without a browser."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Permission
from django.core.management import call_command
from django.db.models import F
from django.test import Client

from tests.site_fixtures import Fleet
from transfers import submission
from transfers.links import Links
from transfers.models import Job

pytestmark = pytest.mark.django_db


def test_the_whole_site_passes_djangos_checks() -> None:
    call_command("check", fail_level="WARNING")


def test_pages_run_no_script_but_their_own(client: Client, links: Links) -> None:
    policy = client.get("/login/")["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_pages_need_a_log_in_and_the_permission(
    client: Client, viewer: AbstractUser, fleet: Fleet, payload: str
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    pages = ["/", "/jobs/", f"/jobs/{job.pk}/"]
    for page in pages:
        assert client.get(page).status_code == 302
    client.force_login(viewer)
    for page in pages:
        assert client.get(page).status_code == 403
    assert client.post(f"/jobs/{job.pk}/cancel/").status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="view_job"))
    for page in pages:
        assert client.get(page).status_code == 200


def test_the_buttons_act_and_are_remembered(client: Client, admin: AbstractUser, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    client.force_login(admin)
    assert client.post(f"/jobs/{job.pk}/explode/").status_code == 404
    assert client.get(f"/jobs/{job.pk}/pause/").status_code == 405
    for act, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled"), ("retry", "running")):
        assert client.post(f"/jobs/{job.pk}/{act}/").status_code == 302
        job.refresh_from_db()
        assert job.state == state
    said = client.post(f"/jobs/{job.pk}/purge/", follow=True)
    assert b"cancel it before its files are removed" in said.content
    notes = LogEntry.objects.filter(object_id=str(job.pk)).order_by("id").values_list("change_message", flat=True)
    assert list(notes) == ["Paused.", "Resumed.", "Cancelled.", "Retried."]


def test_a_button_that_the_scheduler_does_not_hear_says_so(
    client: Client, admin: AbstractUser, fleet: Fleet, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    submission.cancel(job)
    away = Links("redis://127.0.0.1:9/0", "redis://127.0.0.1:9/1", "main")
    monkeypatch.setattr("transfers.reopening.get_links", lambda: away)
    client.force_login(admin)
    page = client.post(f"/jobs/{job.pk}/retry/", follow=True)
    assert b"The scheduler cannot be reached" in page.content
    job.refresh_from_db()
    assert job.state == "cancelled"


async def first_events(client: Any, address: str, count: int) -> list[str]:
    answer = await client.get(address)
    assert answer.status_code == 200
    found: list[str] = []
    async for part in answer.streaming_content:
        found.append(part.decode())
        if len(found) == count:
            break
    await answer.streaming_content.aclose()
    return found


@pytest.mark.django_db(transaction=True)
def test_the_events_of_a_job_need_a_session_and_begin_with_everything(
    client: Client, admin: AbstractUser, fleet: Fleet, payload: str
) -> None:
    from asgiref.sync import async_to_sync
    from django.test import AsyncClient

    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    submission.cancel(job)
    address = f"/jobs/{job.pk}/events/"
    assert client.get(address).status_code == 403
    inside = AsyncClient()
    inside.force_login(admin)
    Job.objects.filter(pk=job.pk).update(finished_at=F("created_at") - timedelta(minutes=1))  # all is recorded
    retry, start, end = async_to_sync(first_events)(inside, address, 3)
    assert retry.startswith("retry:")
    assert re.match(r"id: \d+\nevent: start\ndata: {", start)
    assert '"names":["gpu-01"]' in start
    assert '"state":"cancelled"' in start
    assert end.startswith("event: end")


def test_jobs_are_listed_in_pages_and_by_state(client: Client, admin: AbstractUser, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    for number in range(27):
        submission.submit({"source": payload, "name": f"job number {number}"})
    client.force_login(admin)
    assert b"page 1 of 2" in client.get("/jobs/").content
    assert b"job number 0<" in client.get("/jobs/", {"page": 2}).content
    assert b"No job is like this" in client.get("/jobs/", {"state": "failed"}).content
