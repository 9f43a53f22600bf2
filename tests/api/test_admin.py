"""The admin: every list and every row opens, machine-written rows cannot be changed, actions act."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin import site as admin_site
from django.contrib.auth.models import AbstractUser, Group
from django.test import Client
from django.urls import reverse

import fdist_site.urls  # noqa: F401  (finds the admin's pages)
from nodes.models import EnrolmentKey, Node, digest_of
from tests.site_fixtures import Fleet
from transfers import recorder, submission
from transfers.links import Links
from transfers.models import Job, JobState, Webhook
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
    from django.contrib.admin.models import LogEntry

    assert LogEntry.objects.filter(object_id=str(job.pk)).exists()


def act(browser: Client, model: type, action: str, pk: object) -> list[str]:
    """What the admin says after an action."""
    body = {"action": action, "_selected_action": [str(pk)]}
    answer = browser.post(address(model, "changelist"), body, follow=True)
    return [str(message) for message in answer.context["messages"]]


def test_jobs_are_steered_by_actions(browser: Client, job: Job, links: Links) -> None:
    assert job.state == "running" or Job.objects.get(pk=job.pk).state == JobState.COMPLETE
    assert "is complete and cannot become paused" in act(browser, Job, "pause_jobs", job.pk)[0]
    assert act(browser, Job, "verify_jobs", job.pk) == ["llama is verified by its nodes."]
    assert act(browser, Job, "pause_jobs", job.pk) == ["llama is paused."]
    assert act(browser, Job, "resume_jobs", job.pk) == ["llama goes on."]
    act(browser, Job, "raise_priority", job.pk)
    assert Job.objects.get(pk=job.pk).priority == 1
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
