"""Standing distributions over REST: made, read, steered and ended, by whom that may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Group
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tests.api.conftest import STANDING as URL
from tests.api.conftest import asked
from tests.coordinator.standing_stage import BOTH, LABELS, Stage
from tests.site_fixtures import client_of
from transfers.models import Job, Standing

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(stage: Stage) -> Stage:
    stage.nodes(*BOTH)
    return stage


def test_one_is_made_and_read(stage: Stage, api: APIClient) -> None:
    answer = api.post(URL, asked(stage, topology="pipeline", share=0.9, marker=""), format="json")
    assert answer.status_code == 201 and answer["Location"].endswith("/api/v1/standing/llama/")
    row = answer.json()
    assert row["state"] == "waiting" and row["current_version"] is None and row["newest_version"] == 0
    assert (row["destination"], row["link"]) == (stage.prefix, f"{stage.prefix}/current")
    assert (row["topology"], row["options"], row["share"]) == ("pipeline", {"topology": "pipeline"}, 0.9)
    assert row["created_by"] == "ada" and row["nodes"] == {"labels": LABELS}
    assert api.get(answer["Location"]).json() == row
    assert LogEntry.objects.get().get_change_message() == "Added by the API."


def test_its_figures_versions_nodes_and_events_can_be_read(stage: Stage, api: APIClient, llama: str) -> None:
    row = api.get(llama).json()
    assert (row["state"], row["current_version"], row["newest_version"]) == ("current", 2, 2)
    assert (row["nodes_total"], row["nodes_up"], row["nodes_current"], row["nodes_behind"]) == (2, 2, 2, 0)
    assert row["reached_at"] and row["current_job"]
    versions = api.get(f"{llama}versions/").json()["results"]
    assert [(v["number"], v["state"], v["nodes_using"], v["nodes_ready"], v["nodes_total"]) for v in versions] == [
        (2, "current", 2, 2, 2),
        (1, "kept", 0, 2, 2),
    ]
    assert versions[0]["job"] == row["current_job"]
    nodes = api.get(f"{llama}nodes/").json()["results"]
    assert [(n["node"], n["version"], n["behind"]) for n in nodes] == [(name, 2, False) for name in BOTH]
    events = api.get(f"{llama}events/").json()["results"]
    assert [e["kind"] for e in events if e["version"] == 2] == ["started", "switched", "reached"]
    assert api.get(f"{llama}events/?after={events[-1]['id']}").json()["results"] == []
    assert {e["kind"] for e in api.get(f"{llama}events/?kind=created").json()["results"]} == {"created"}


def test_lists_are_narrowed(stage: Stage, api: APIClient, llama: str) -> None:
    def names(query: str) -> list[str]:
        return [row["name"] for row in api.get(f"{URL}?{query}").json()["results"]]

    for query in (
        "name=lam",
        "source=gs://standing/",
        "paused=false",
        "behind=false",
        "rolled_back=false",
        "trouble=false",
    ):
        assert names(query) == ["llama"], query
    for query in ("name=qwen", "source=gs://other/", "paused=true", "behind=true", "rolled_back=true", "trouble=true"):
        assert names(query) == [], query
    stage.nodes("gpu-03")
    stage.coordinate()
    stage.coordinate()
    assert names("behind=true") == ["llama"]
    found = api.get(f"{llama}nodes/?behind=true").json()["results"]
    assert [row["node"] for row in found] == ["gpu-03"]
    assert api.get(f"{llama}nodes/?version=2").json()["count"] == 2


def test_it_is_rolled_back_and_resumed(stage: Stage, api: APIClient, llama: str) -> None:
    answer = api.post(f"{llama}rollback/")
    assert answer.status_code == 200
    assert (answer.json()["current_version"], answer.json()["passed_over"]) == (1, 2)
    assert answer.json()["state"] == "rolled_back"
    again = api.post(f"{llama}rollback/", {"version": 1}, format="json")
    assert again.status_code == 409 and "version 1 already" in again.json()["detail"]
    wrong = api.post(f"{llama}rollback/", {"version": 9}, format="json")
    assert wrong.status_code == 400 and wrong.json()["errors"][0]["field"] == "version"
    assert api.post(f"{llama}resume/").json()["passed_over"] == 0
    assert api.post(f"{llama}resume/").status_code == 409
    stage.rounds(2)
    assert api.get(llama).json()["current_version"] == 2


def test_it_is_paused_and_changed(stage: Stage, api: APIClient, llama: str) -> None:
    assert api.post(f"{llama}pause/").json()["state"] == "paused"
    assert api.post(f"{llama}pause/").status_code == 409
    assert api.post(f"{llama}check/").status_code == 409
    assert api.post(f"{llama}resume/").json()["paused"] is False
    answer = api.patch(llama, {"share": 0.5, "priority": 7}, format="json")
    assert answer.status_code == 200
    assert (answer.json()["share"], answer.json()["options"]) == (0.5, {"priority": 7})
    assert api.patch(llama, {}, format="json").status_code == 400


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "No"}, "name"),
        ({"source": "gs://nobody-has-this/x/"}, "source"),
        ({"share": 0}, "share"),
        ({"nodes": {"labels": {}}}, "nodes"),
        ({"destination": "../up"}, "destination"),
        ({"versions_kept": 0}, "versions_kept"),
        ({"marker": "a/../b"}, "marker"),
        ({"bucket_budget": "lots"}, "bucket_budget"),
    ],
)
def test_a_problem_names_its_field(stage: Stage, api: APIClient, fields: dict[str, Any], field: str) -> None:
    answer = api.post(URL, asked(stage, **fields), format="json")
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field
    assert not Standing.objects.exists()


def test_who_ends_it_says_what_becomes_of_the_copies(stage: Stage, api: APIClient, llama: str) -> None:
    answer = api.delete(llama)
    assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "copies"
    assert api.delete(f"{llama}?copies=purge").status_code == 204
    assert api.get(llama).status_code == 404
    assert set(Job.objects.exclude(purged_at=None).values_list("name", flat=True)) == {
        "llama version 1",
        "llama version 2",
    }
    stage.rounds(2)
    assert all(not held for held in stage.holds.values())


def test_groups_may_what_their_names_say(stage: Stage, viewer: AbstractUser, llama: str) -> None:
    client = client_of(viewer)
    assert client.get(URL).status_code == 403
    viewer.groups.set([Group.objects.get(name="viewer")])
    for path in ("", "versions/", "nodes/", "events/"):
        assert client.get(f"{llama}{path}").status_code == 200
    for path in ("pause/", "rollback/", "check/"):
        assert client.post(f"{llama}{path}").status_code == 403
    assert client.post(URL, asked(stage), format="json").status_code == 403
    viewer.groups.set([Group.objects.get(name="operator")])
    client = client_of(type(viewer).objects.get(pk=viewer.pk))
    assert client.post(f"{llama}pause/").status_code == 200
    assert client.post(f"{llama}rollback/").status_code == 200
    assert client.delete(f"{llama}?copies=keep").status_code == 403
    viewer.groups.set([Group.objects.get(name="admin")])
    client = client_of(type(viewer).objects.get(pk=viewer.pk))
    assert client.delete(f"{llama}?copies=keep").status_code == 204


# --- pages and the admin, without a browser


@pytest.fixture
def browser(client: Client, admin: AbstractUser) -> Client:
    client.force_login(admin)
    return client


def test_the_admin_shows_and_steers_it(browser: Client, stage: Stage, llama: str) -> None:
    address = reverse("admin:transfers_standing_changelist")
    pk = Standing.objects.get().pk

    def act(action: str, **form: object) -> list[str]:
        body = {"action": action, "_selected_action": [str(pk)], **form}
        return [str(each) for each in browser.post(address, body, follow=True).context["messages"]]

    page = browser.get(address).content.decode()
    assert "llama" in page and "2 of 2" in page
    assert act("roll_back") == ["llama is rolled back."]
    assert "rolled back" in browser.get(reverse("admin:transfers_standing_change", args=[pk])).content.decode()
    assert act("resume") == ["llama goes on."]
    assert act("pause") == ["llama is paused."]
    assert "is paused" in act("check_sources")[0]
    job = Standing.objects.get().versions.get(number=2).job
    gone = {"action": "delete_selected", "_selected_action": [str(job.pk)], "post": "yes"}
    assert browser.post(reverse("admin:transfers_job_changelist"), gone).status_code == 403
    assert Job.objects.filter(pk=job.pk).exists()
    assert act("end", given="yes", copies="keep") == ["llama is ended, its copies stay."]
    assert not Standing.objects.exists()
