"""Jobs that are steered over REST: priority, retry, verify, requests that are sent twice; and who did what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Group
from django.core.cache import cache
from rest_framework.test import APIClient
from rest_framework.throttling import ScopedRateThrottle

from tests.site_fixtures import Fleet, client_of, fold
from transfers import submission
from transfers.links import Links
from transfers.models import Job, JobNode
from transfers.scheduler.types import Heartbeat

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/jobs/"


@pytest.fixture
def job(fleet: Fleet, payload: str) -> Job:
    fleet.add("gpu-01", "gpu-02")
    return submission.submit({"source": payload, "name": "llama"})


def act(api: APIClient, job: Job, what: str) -> Any:
    return api.post(f"{JOBS}{job.pk}/{what}/")


def test_a_cancelled_job_is_retried(api: APIClient, job: Job) -> None:
    assert act(api, job, "retry").status_code == 409
    act(api, job, "cancel")
    answer = act(api, job, "retry")
    assert (answer.status_code, answer.json()["state"], answer.json()["finished_at"]) == (200, "running", None)


def test_a_complete_job_is_verified(api: APIClient, job: Job, fleet: Fleet, links: Links) -> None:
    assert act(api, job, "verify").status_code == 409
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    answer = act(api, job, "verify")
    assert (answer.status_code, answer.json()["state"], answer.json()["nodes_done"]) == (200, "running", 0)


def test_a_job_that_has_ended_is_not_resumed_by_mistake(api: APIClient, job: Job) -> None:
    act(api, job, "cancel")
    answer = act(api, job, "resume")
    assert answer.status_code == 409
    assert "retry it" in answer.json()["detail"]


def test_the_priority_is_changed_and_nothing_else(api: APIClient, job: Job, links: Links) -> None:
    address = f"{JOBS}{job.pk}/"
    assert api.patch(address, {"priority": 9}).json()["priority"] == 9
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.priority == 9
    wrong = api.patch(address, {"priority": 10**9})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "priority")
    assert api.patch(address, {"source": "gs://other/x"}).status_code == 400
    act(api, job, "cancel")
    assert api.patch(address, {"priority": 1}).status_code == 409


def test_a_job_is_pinned_and_unpinned_and_the_nodes_are_told(
    api: APIClient, job: Job, fleet: Fleet, links: Links
) -> None:
    def told() -> list[Any]:
        orders = links.scheduler.heartbeat(Heartbeat("gpu-01", fleet.epochs["gpu-01"])).orders
        return [order["op"] for order in orders if order.get("job") == job.id.hex]

    answer = act(api, job, "pin")
    assert (answer.status_code, answer.json()["pinned"], told()) == (200, True, ["pin"])
    assert api.get(f"{JOBS}{job.pk}/").json()["pinned"]
    answer = act(api, job, "unpin")
    assert (answer.status_code, answer.json()["pinned"], told()) == (200, False, ["unpin"])
    assert {entry.change_message for entry in LogEntry.objects.all()} == {"Pinned by the API.", "Unpinned by the API."}
    act(api, job, "cancel")
    act(api, job, "purge")
    answer = act(api, job, "pin")
    assert (answer.status_code, "there is nothing to pin" in answer.json()["detail"]) == (409, True)


def test_what_is_below_a_job_is_found_by_its_id_with_and_without_dashes(api: APIClient, job: Job) -> None:
    parts = ("", "nodes/", "files/", "shards/", "events/", "transfers/", "shards/0/trace/")
    for part in parts:
        dashed, plain = (api.get(f"{JOBS}{name}/{part}") for name in (job.pk, job.id.hex))
        assert (dashed.status_code, plain.status_code, plain.json()) == (200, 200, dashed.json()), part
        for wrong in ("0" * 32, str(UUID(int=7)), "-" * 32, job.id.hex + "0"):
            missing = api.get(f"{JOBS}{wrong}/{part}")
            assert (missing.status_code, missing.json()["type"]) == (404, "urn:fdist:not-found"), (wrong, part)
    assert api.post(f"{JOBS}{job.id.hex}/pause/").status_code == 200


def test_a_request_that_is_sent_twice_makes_one_job(api: APIClient, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    body = {"source": payload, "name": "once"}
    first, second = (api.post(JOBS, body, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert first["Location"] == second["Location"]
    assert Job.objects.count() == 1
    assert api.post(JOBS, body, headers={"Idempotency-Key": "k-2"}).json()["id"] != first.json()["id"]
    assert api.post(JOBS, body).status_code == 201, "without a key each request is a job"


def test_a_key_is_not_used_for_two_things(api: APIClient, fleet: Fleet, payload: str, viewer: AbstractUser) -> None:
    fleet.add("gpu-01")
    key = {"Idempotency-Key": "k-1"}
    made = api.post(JOBS, {"source": payload}, headers=key).json()
    other = api.post(JOBS, {"source": payload, "topology": "pipeline"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:fdist:key-reused")
    assert made["id"].replace("-", "") in other.json()["detail"]
    viewer.groups.add(Group.objects.get(name="operator"))
    assert client_of(viewer).post(JOBS, {"source": payload}, headers=key).json()["id"] != made["id"], (
        "keys are a user's"
    )
    assert api.post(JOBS, {"source": payload}, headers={"Idempotency-Key": "k" * 300}).status_code == 400


def test_a_refused_request_may_come_again_with_its_key(api: APIClient, fleet: Fleet, payload: str) -> None:
    key = {"Idempotency-Key": "k-1"}
    assert api.post(JOBS, {"source": payload}, headers=key).status_code == 400  # no node is there
    fleet.add("gpu-01")
    assert api.post(JOBS, {"source": payload}, headers=key).status_code == 201


def test_two_processes_with_one_key_make_one_job(
    api: APIClient, fleet: Fleet, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("gpu-01")
    first = api.post(JOBS, {"source": payload}, headers={"Idempotency-Key": "k"}).json()
    monkeypatch.setattr("transfers.api.views.find_repeated", lambda *_: None)  # it looked before the other wrote
    second = api.post(JOBS, {"source": payload}, headers={"Idempotency-Key": "k"})
    assert (second.status_code, second.json()["id"]) == (201, first["id"])
    assert JobNode.objects.count() == 1


def test_who_did_what_is_kept(api: APIClient, job: Job, admin: AbstractUser) -> None:
    for what in ("pause", "resume", "cancel"):
        act(api, job, what)
    rows = LogEntry.objects.filter(object_id=str(job.pk), user=admin).order_by("id")
    assert [row.change_message for row in rows] == [
        "Paused by the API.",
        "Resumed by the API.",
        "Cancelled by the API.",
    ]


def test_groups_may_what_their_names_say(viewer: AbstractUser, job: Job, payload: str) -> None:
    client = client_of(viewer)

    def joins(name: str) -> APIClient:
        viewer.groups.set([Group.objects.get(name=name)])
        return client

    assert client.get(JOBS).status_code == 403
    looks = joins("viewer")
    for address in (JOBS, f"{JOBS}{job.pk}/events/", f"{JOBS}{job.pk}/shards/", "/api/v1/nodes/", "/api/v1/cell/"):
        assert looks.get(address).status_code == 200, address
    assert looks.post(JOBS, {"source": payload}).status_code == 403
    assert act(looks, job, "pause").status_code == 403
    assert act(looks, job, "pin").status_code == 403
    works = joins("operator")
    assert works.post(JOBS, {"source": payload}).status_code == 201
    assert act(works, job, "cancel").status_code == 200
    assert act(works, job, "purge").status_code == 403
    assert act(joins("admin"), job, "purge").status_code == 200


def test_too_many_submissions_are_told_when_to_come_back(
    api: APIClient, fleet: Fleet, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("gpu-01")
    cache.clear()
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"submit": "2/hour"})
    answers = [api.post(JOBS, {"source": payload}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json()["type"] == "urn:fdist:throttled"
    assert int(answers[2]["Retry-After"]) > 0
    assert api.get(JOBS).status_code == 200, "reading goes on"
