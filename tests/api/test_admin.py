"""The admin: every list and every row opens, machine-written rows cannot be changed, actions act."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin import site as admin_site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Group
from django.test import Client
from django.urls import reverse

import fdist_site.urls  # noqa: F401  (finds the admin's pages)
from nodes.models import EnrolmentKey, Node, digest_of
from tests.site_fixtures import Fleet
from transfers import recorder, submission
from transfers.links import Links
from transfers.models import Job, JobState, Standing, StandingEvent, StandingNode, StandingVersion, Webhook
from transfers.scheduler.types import Heartbeat
from transfers.webhooks import outbox

pytestmark = pytest.mark.django_db
OURS = [model for model in admin_site._registry if model._meta.app_label in ("nodes", "transfers")]
assert OURS
MACHINE_WRITTEN = [model for model in OURS if model not in (EnrolmentKey, Webhook)]


@pytest.fixture
def browser(client: Client, admin: AbstractUser) -> Client:
    client.force_login(admin)
    return client


@pytest.fixture
def job(fleet: Fleet, links: Links, payload: str) -> Job:
    """A job with rows of every kind."""
    fleet.add("gpu-01", "gpu-02", labels={"zone": "a"})
    found = submission.submit({"source": payload, "name": "llama"})
    fleet.announce(found.id.hex)
    fleet.move(found.id.hex)
    while events := links.scheduler.events(recorder.position(links.cell)):
        recorder.fold(links.cell, recorder.position(links.cell), events)
    outbox.ping(Webhook.objects.create(name="hook", url="https://example.org/"))
    standing = Standing.objects.create(name="llama", source=payload, destination="llama")
    version = StandingVersion.objects.create(standing=standing, number=1, job=found, retired_at=found.created_at)
    StandingNode.objects.create(standing=standing, node=Node.objects.get(name="gpu-01"), uses=version)
    StandingEvent.of(standing, "created")
    return found


def address(model: type, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_list_row_and_search_opens(model: Any, browser: Client, job: Job) -> None:
    assert browser.get(address(model, "changelist")).status_code == 200
    assert browser.get(address(model, "changelist"), {"q": "1"}).status_code == 200
    row = model.objects.first()
    assert row is not None
    assert browser.get(address(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", MACHINE_WRITTEN, ids=lambda model: model.__name__)
def test_machine_written_rows_are_not_added_by_hand(model: Any, browser: Client, job: Job) -> None:
    assert browser.get(address(model, "add")).status_code == 403


def test_jobs_are_cancelled_by_an_action_and_it_is_logged(
    browser: Client, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    browser.post(address(Job, "changelist"), {"action": "cancel_jobs", "_selected_action": [str(job.pk)]})
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert "by ada in the admin" in job.error
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.state == "cancelled"
    assert LogEntry.objects.filter(object_id=str(job.pk)).exists()


def act(browser: Client, model: type, action: str, *pks: object, **form: object) -> list[str]:
    """What the admin says after an action. form: what is given to an action that asks."""
    body = {"action": action, "_selected_action": [str(pk) for pk in pks], **form}
    answer = browser.post(address(model, "changelist"), body, follow=True)
    return [str(message) for message in answer.context["messages"]]


def test_jobs_are_steered_by_actions(browser: Client, job: Job, links: Links) -> None:
    assert job.state == "running" or Job.objects.get(pk=job.pk).state == JobState.COMPLETE
    assert "is complete and cannot become paused" in act(browser, Job, "pause_jobs", job.pk)[0]
    assert act(browser, Job, "verify_jobs", job.pk) == ["llama is verified by its nodes."]
    assert act(browser, Job, "pause_jobs", job.pk) == ["llama is paused."]
    assert act(browser, Job, "resume_jobs", job.pk) == ["llama goes on."]
    assert act(browser, Job, "change_priority", job.pk, given="yes", priority=1) == ["llama has priority 1 now."]
    assert Job.objects.get(pk=job.pk).priority == 1
    assert act(browser, Job, "pin_jobs", job.pk) == ["llama is pinned."]
    assert Job.objects.get(pk=job.pk).pinned
    assert act(browser, Job, "unpin_jobs", job.pk) == ["llama is unpinned."]
    act(browser, Job, "cancel_jobs", job.pk)
    assert act(browser, Job, "retry_jobs", job.pk) == ["llama goes on."]
    view = links.scheduler.job(job.id.hex)
    assert view is not None and (view.state, view.priority) == ("running", 1)


def test_nodes_are_drained_enabled_and_removed_by_actions(browser: Client, job: Job, links: Links) -> None:
    node = Node.objects.get(name="gpu-01")
    assert act(browser, Node, "drain_nodes", node.pk) == ["gpu-01 drains."]
    assert "stop its agent first" in act(browser, Node, "remove_nodes", node.pk)[0]
    assert act(browser, Node, "enable_nodes", node.pk) == ["gpu-01 is enabled."]
    assert {view.name: view.state for view in links.scheduler.nodes()}["gpu-01"] == "live"
    Node.objects.filter(pk=node.pk).update(state="dead")
    assert act(browser, Node, "remove_nodes", node.pk) == ["gpu-01 is removed."]


def test_the_caps_of_several_nodes_are_changed_at_once_and_it_is_in_the_history_of_each(
    browser: Client, fleet: Fleet, links: Links, job: Job, admin: AbstractUser
) -> None:
    nodes = list(Node.objects.order_by("name"))
    Node.objects.update(download_cap=1000, bucket_cap=7)
    ticked = {"action": "cap_nodes", "_selected_action": [node.pk for node in nodes]}
    page = browser.post(address(Node, "changelist"), ticked)
    assert page.status_code == 200
    assert b"2 nodes" in page.content and b"gpu-01, gpu-02" in page.content and b'name="upload_cap"' in page.content
    caps = {"given": "yes", "upload_cap": "400mbit", "bucket_cap": "own"}
    said = act(browser, Node, "cap_nodes", *(node.pk for node in nodes), **caps)
    assert said == [f"{node} is capped: upload at 400 Mbit/s, bucket at the node's own." for node in nodes]
    assert list(Node.objects.values_list("upload_cap", "download_cap", "bucket_cap")) == [(400_000_000, 1000, None)] * 2
    for node in nodes:
        orders = links.scheduler.heartbeat(Heartbeat(node.name, fleet.epochs[node.name])).orders
        assert {"op": "caps", "upload_rate": 400_000_000, "gcs_rate": None} in orders
        entry = LogEntry.objects.get(object_id=str(node.pk))
        assert (entry.user, "upload at 400 Mbit/s" in entry.change_message) == (admin, True)


def test_caps_that_are_wrong_or_missing_are_asked_for_again(browser: Client, job: Job) -> None:
    node = Node.objects.get(name="gpu-01")
    for caps, said in (
        ({"upload_cap": "fast"}, b"fast"),
        ({"upload_cap": "90tbit"}, b"at most 10"),
        ({}, b"Give one cap at least."),
    ):
        body = {"action": "cap_nodes", "_selected_action": [node.pk], "given": "yes", **caps}
        page = browser.post(address(Node, "changelist"), body)
        assert (page.status_code, said in page.content) == (200, True), caps
    node.refresh_from_db()
    assert node.upload_cap is None
    assert not LogEntry.objects.exists()


def test_every_job_of_a_search_gets_the_priority_that_was_asked_for(
    browser: Client, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01")
    jobs = [submission.submit({"source": payload, "name": f"job-{number}"}) for number in range(3)]
    other = submission.submit({"source": payload, "name": "other"})
    place = address(Job, "changelist") + "?q=job-"
    ticked = {"action": "change_priority", "_selected_action": [str(jobs[0].pk)], "select_across": "1"}
    page = browser.post(place, ticked)
    assert b"3 jobs" in page.content and b'name="select_across" value="1"' in page.content
    assert browser.post(place, {**ticked, "given": "yes", "priority": "5000"}).status_code == 200, "it asks again"
    browser.post(place, {**ticked, "given": "yes", "priority": "7"})
    views = [links.scheduler.job(job.id.hex) for job in (*jobs, other)]
    assert [view.priority for view in views if view] == [7, 7, 7, 0]
    assert LogEntry.objects.filter(change_message__contains="priority 7").count() == 3


def test_who_may_not_change_anything_is_offered_no_such_action(client: Client, viewer: AbstractUser, job: Job) -> None:
    viewer.is_staff = True
    viewer.save()
    viewer.groups.add(Group.objects.get(name="viewer"))
    client.force_login(viewer)
    assert b"change_priority" not in client.get(address(Job, "changelist")).content
    body = {"action": "change_priority", "_selected_action": [str(job.pk)], "given": "yes", "priority": "7"}
    client.post(address(Job, "changelist"), body)
    assert Job.objects.get(pk=job.pk).priority == 0


def test_a_jobs_page_shows_what_the_scheduler_has_now_and_else_what_is_recorded(
    browser: Client, fleet: Fleet, links: Links, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submission.submit({"source": payload, "shard_size": 2**20})
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    page = browser.get(address(Job, "change", job.pk)).content.decode()
    assert Job.objects.get(pk=job.pk).state == JobState.RUNNING, "the record does not know yet"
    assert "2 done" in page and "100.0 %, 8 of 8 shards" in page
    monkeypatch.setattr("transfers.admin.live.get_links", lambda: Links("redis://127.0.0.1:1/0", "", links.cell))
    page = browser.get(address(Job, "change", job.pk)).content.decode()
    assert "0.0 %, 0 of 8 shards" in page and "the scheduler cannot be reached" in page


def test_people_and_tokens_are_managed_in_the_same_theme(browser: Client, admin: AbstractUser) -> None:
    for place in ("auth/user", "auth/group", "knox/authtoken", f"auth/user/{admin.pk}/change", "auth/user/add"):
        page = browser.get(f"/admin/{place}/")
        assert page.status_code == 200, place
    made = browser.post("/admin/knox/authtoken/add/", {"user": admin.pk}, follow=True)
    assert any("TOKEN" in str(message) for message in made.context["messages"])


def test_who_manages_users_cannot_make_superusers(client: Client, viewer: AbstractUser, admin: AbstractUser) -> None:
    viewer.is_staff = True
    viewer.save()
    viewer.groups.add(Group.objects.get(name="admin"))
    client.force_login(viewer)
    assert b'name="is_superuser"' not in client.get(f"/admin/auth/user/{viewer.pk}/change/").content
    form = {"username": "vic", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    assert client.post(f"/admin/auth/user/{viewer.pk}/change/", form).status_code == 302
    viewer.refresh_from_db()
    assert not viewer.is_superuser
    assert client.post(f"/admin/auth/user/{admin.pk}/password/", {"password1": "x" * 20}).status_code == 403


def test_an_open_job_is_not_deleted(browser: Client, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    browser.post(
        address(Job, "changelist"), {"action": "delete_selected", "_selected_action": [str(job.pk)], "post": "yes"}
    )
    assert Job.objects.filter(pk=job.pk).exists()


def test_a_key_is_shown_once_when_it_is_made_and_can_be_revoked(browser: Client, db: None) -> None:
    answer = browser.post(address(EnrolmentKey, "add"), {"name": "pool"}, follow=True)
    shown = [str(message) for message in answer.context["messages"]]
    key = EnrolmentKey.objects.get(name="pool")
    secret = next(text for text in shown if "fdk_" in text).split()[-1]
    assert digest_of(secret) == key.digest
    assert secret.encode() not in browser.get(address(EnrolmentKey, "change", key.pk)).content
    browser.post(address(EnrolmentKey, "changelist"), {"action": "revoke_keys", "_selected_action": [str(key.pk)]})
    assert not EnrolmentKey.objects.valid().exists()


def test_a_webhook_is_made_and_pinged_and_its_secret_is_shown_once(browser: Client, links: Links) -> None:
    form = {"name": "deploy", "url": "https://example.org/", "kinds": ["ready"], "active": "on"}
    made = browser.post(address(Webhook, "add"), form, follow=True)
    webhook = Webhook.objects.get()
    assert any(webhook.secret in str(message) for message in made.context["messages"])
    assert webhook.secret.encode() not in browser.get(address(Webhook, "change", webhook.pk)).content
    assert act(browser, Webhook, "ping_webhooks", webhook.pk) == ["1 pinged; the messages say what came of it."]
    assert webhook.deliveries.count() == 1
    refused = browser.post(address(Webhook, "add"), {**form, "name": "other", "url": "https://127.0.0.1/"})
    assert b"is a private address" in refused.content
