"""Quorum, policy, bucket budget and bandwidth caps: from what people ask to what the scheduler is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Group
from django.test import Client
from rest_framework.test import APIClient

from nodes.fleet import keep_caps
from nodes.models import EnrolmentKey, Node, digest_of
from tests.site_fixtures import Fleet, client_of, fold
from transfers import reopening, submission
from transfers.coordinator.planner import Planner
from transfers.links import Links
from transfers.models import Job, JobEvent
from transfers.publishing import spec_of
from transfers.scheduler.types import Heartbeat

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/jobs/"
NODES = "/api/v1/nodes/"
KEYS = "/api/v1/enrolment-keys/"
PAYLOAD = 3 * 2**20 + 100


def orders(fleet: Fleet, node: str) -> list[dict[str, Any]]:
    reply = fleet.scheduler.heartbeat(Heartbeat(node, fleet.epochs[node]))
    return [dict(order) for order in reply.orders]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (10_000_000, 10_000_000),
        ("10MB", 10_000_000),
        ("1x", PAYLOAD),
        ("1.5x", PAYLOAD * 3 // 2),
        (PAYLOAD, PAYLOAD),
        (None, None),
    ],
)
def test_a_bucket_budget_is_bytes_or_a_multiple_of_the_payload(
    api: APIClient, fleet: Fleet, payload: str, asked: Any, kept: int | None
) -> None:
    fleet.add("gpu-01")
    answer = api.post(JOBS, {"source": payload, "bucket_budget": asked})
    assert (answer.status_code, answer.json()["bucket_budget"]) == (201, kept)
    assert spec_of(Job.objects.get()).gcs_budget == (kept or 0)


@pytest.mark.parametrize("asked", [PAYLOAD - 1, "0.99x", "1MB", 0, -5, "lots", True, 1.5, 2**70, ["1x"]])
def test_a_bucket_budget_that_cannot_work_is_refused(api: APIClient, fleet: Fleet, payload: str, asked: Any) -> None:
    fleet.add("gpu-01")
    answer = api.post(JOBS, {"source": payload, "bucket_budget": asked})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "bucket_budget")
    assert not Job.objects.exists()


def test_what_earlier_tries_read_counts_and_the_budget_is_raised_for_a_retry(
    api: APIClient, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload, "bucket_budget": "1x"})
    place = f"{JOBS}{job.pk}/"
    assert api.patch(place, {"bucket_budget": "2x"}).status_code == 409
    submission.cancel(job)
    Job.objects.filter(pk=job.pk).update(bytes_from_gcs=PAYLOAD)
    job.refresh_from_db()
    assert spec_of(job).gcs_budget == 1
    assert api.patch(place, {"bucket_budget": 5}).json()["errors"][0]["field"] == "bucket_budget"
    assert api.patch(place, {"bucket_budget": "2x", "priority": 1}).status_code == 400
    assert api.patch(place, {"bucket_budget": "2x"}).json()["bucket_budget"] == 2 * PAYLOAD
    job.refresh_from_db()
    assert spec_of(job).gcs_budget == PAYLOAD


def test_quorum_and_policy_go_to_the_scheduler(api: APIClient, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    body = api.post(JOBS, {"source": payload, "quorum": 0.25, "policy": "sequential"}).json()
    assert (body["quorum"], body["policy"], body["ready_at"]) == (0.25, "sequential", None)
    spec = spec_of(Job.objects.get())
    assert (spec.quorum, spec.policy) == (0.25, "sequential")
    for wrong in ({"quorum": 0}, {"quorum": 1.01}, {"quorum": "half"}, {"policy": "fastest"}, {"own_zone": "often"}):
        answer = api.post(JOBS, {"source": payload, **wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, next(iter(wrong)))


def test_a_job_is_ready_when_its_quorum_is_done_while_others_go_on(
    api: APIClient, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submission.submit({"source": payload, "quorum": 0.5})
    late = fleet.epochs.pop("gpu-02")
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    read = api.get(f"{JOBS}{job.pk}/").json()
    assert (read["state"], read["nodes_done"], read["finished_at"]) == ("running", 1, None)
    assert read["ready_at"]
    assert [row.kind for row in JobEvent.objects.filter(job=job)].count("job_ready") == 1
    assert api.get(JOBS, {"ready": "true"}).json()["count"] == 1
    fleet.epochs["gpu-02"] = late
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    read_again = api.get(f"{JOBS}{job.pk}/").json()
    assert (read_again["state"], read_again["ready_at"]) == ("complete", read["ready_at"])
    job.refresh_from_db()
    reopening.verify(job)
    assert Job.objects.get().ready_at is None, "it has to show again that it is"


def test_caps_are_changed_over_rest_and_reach_the_node(
    api: APIClient, fleet: Fleet, links: Links, admin: AbstractUser
) -> None:
    fleet.add("gpu-01")
    submission.node_facts(links)
    orders(fleet, "gpu-01")
    answer = api.patch(f"{NODES}gpu-01/", {"upload_cap": 400_000_000, "bucket_cap": 0})
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in ("upload_cap", "download_cap", "bucket_cap")} == {
        "upload_cap": 400_000_000,
        "download_cap": None,
        "bucket_cap": 0,
    }
    assert orders(fleet, "gpu-01") == [{"op": "caps", "upload_rate": 400_000_000, "gcs_rate": 0}]
    api.patch(f"{NODES}gpu-01/", {"upload_cap": None})
    assert orders(fleet, "gpu-01") == [{"op": "caps", "upload_rate": None}]
    assert LogEntry.objects.filter(user=admin).order_by("id").first().change_message == (  # type: ignore[union-attr]
        "Capped upload at 400 Mbit/s, bucket at none by the API."
    )
    for wrong in ({"upload_cap": -1}, {"download_cap": "fast"}, {"bucket_cap": 10**14}):
        assert api.patch(f"{NODES}gpu-01/", wrong).json()["errors"][0]["field"] == next(iter(wrong))
    assert api.patch(f"{NODES}gpu-01/", {}).status_code == 400
    submission.node_facts(links)
    assert Node.objects.get().bucket_cap == 0, "what the node tells of itself does not undo it"


def test_a_node_that_starts_anew_is_told_its_caps_once(fleet: Fleet, links: Links) -> None:
    fleet.add("gpu-01", "gpu-02")
    planner = Planner(links)
    planner.step()
    Node.objects.filter(name="gpu-01").update(download_cap=10**9)
    planner.step()
    planner.step()
    assert orders(fleet, "gpu-01") == [{"op": "caps", "download_rate": 10**9}]
    assert orders(fleet, "gpu-02") == []
    fleet.add("gpu-01")
    planner.step()
    assert orders(fleet, "gpu-01") == [{"op": "caps", "download_rate": 10**9}]
    assert keep_caps(links.cell, fleet.epochs, links.scheduler) == 0


def test_nothing_changes_while_the_scheduler_cannot_be_told(
    api: APIClient, fleet: Fleet, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("gpu-01")
    submission.node_facts(links)
    away = Links("redis://127.0.0.1:9/0", "redis://127.0.0.1:9/1", "main")
    monkeypatch.setattr("nodes.api.get_links", lambda: away)
    assert api.patch(f"{NODES}gpu-01/", {"upload_cap": 5}).status_code == 503
    assert Node.objects.get().upload_cap is None


def test_operators_change_caps_and_viewers_do_not(viewer: AbstractUser, fleet: Fleet, links: Links) -> None:
    fleet.add("gpu-01")
    submission.node_facts(links)
    client = client_of(viewer)
    for group, code in (("viewer", 403), ("operator", 200)):
        viewer.groups.set([Group.objects.get(name=group)])
        assert client.patch(f"{NODES}gpu-01/", {"upload_cap": 10**9}).status_code == code


def test_caps_are_rates_in_the_admin(client: Client, admin: AbstractUser, fleet: Fleet, links: Links) -> None:
    fleet.add("gpu-01")
    submission.node_facts(links)
    orders(fleet, "gpu-01")
    client.force_login(admin)
    place = f"/admin/nodes/node/{Node.objects.get().pk}/change/"
    form = {"upload_cap": "400mbit", "download_cap": "", "bucket_cap": "none"}
    assert client.post(place, form).status_code == 302
    node = Node.objects.get()
    assert (node.upload_cap, node.download_cap, node.bucket_cap) == (400_000_000, None, 0)
    assert orders(fleet, "gpu-01") == [{"op": "caps", "upload_rate": 400_000_000, "gcs_rate": 0}]
    assert b'value="400 Mbit/s"' in client.get(place).content
    assert client.post(place, {**form, "upload_cap": "400 Mbit/s"}).status_code == 302
    assert orders(fleet, "gpu-01") == []
    assert b"is no rate" in client.post(place, {**form, "upload_cap": "fast"}).content
    assert "Capped upload at 400 Mbit/s" in LogEntry.objects.order_by("id").first().change_message  # type: ignore[union-attr]


def test_enrolment_keys_are_made_listed_and_revoked(api: APIClient, fleet: Fleet, links: Links) -> None:
    made = api.post(KEYS, {"name": "pool-a", "expires_at": "2099-01-01T00:00:00Z"})
    assert made.status_code == 201
    key = made.json()["key"]
    assert EnrolmentKey.objects.get(name="pool-a").digest == digest_of(key)
    assert digest_of(key).encode() in links.redis.smembers("{fdist:main}:enrolment"), "nodes register at once"
    place = f"{KEYS}{made.json()['id']}/"
    assert "key" not in api.get(place).json()
    assert [row["name"] for row in api.get(KEYS, {"valid": "true"}).json()["results"]] == ["pool-a", "tests"]
    assert api.post(f"{place}revoke/").json()["revoked_at"]
    assert digest_of(key).encode() not in links.redis.smembers("{fdist:main}:enrolment")
    assert [row["name"] for row in api.get(KEYS, {"valid": "false"}).json()["results"]] == ["pool-a"]
    for wrong in ({"name": "pool-a"}, {"name": "a\nb"}, {"name": "x", "expires_at": "2001-01-01T00:00:00Z"}):
        answer = api.post(KEYS, wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, list(wrong)[-1])


def test_enrolment_keys_are_for_administrators(viewer: AbstractUser, db: None) -> None:
    client = client_of(viewer)
    viewer.groups.set([Group.objects.get(name="operator")])
    assert client.get(KEYS).status_code == 403
    assert client.post(KEYS, {"name": "pool-a"}).status_code == 403
    viewer.groups.set([Group.objects.get(name="admin")])
    assert client.post(KEYS, {"name": "pool-a"}).status_code == 201


def test_health_and_readiness_are_in_the_api_and_need_no_log_in(client: Client, links: Links, settings: Any) -> None:
    assert client.get("/api/v1/health/").json() == {"status": "ok"}
    assert client.get("/api/v1/ready/").json() == {"status": "ok", "database": "ok", "redis": "ok"}
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    answer = client.get("/api/v1/ready/")
    assert (answer.status_code, answer.json()["redis"]) == (503, "unreachable")
