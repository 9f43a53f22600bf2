"""Jobs over REST."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from nodes.models import Node
from tests.site_fixtures import Fleet, client_of
from transfers.links import Links
from transfers.models import Job, JobNode
from transfers.submission import node_facts

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/jobs/"


def created(api: APIClient, payload: str, **fields: Any) -> dict[str, Any]:
    answer = api.post(JOBS, {"source": payload, **fields})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def errors(answer: Any) -> dict[str, str]:
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


def test_a_job_is_created_read_listed_and_cancelled(api: APIClient, fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    answer = api.post(JOBS, {"source": payload, "topology": "pipeline", "name": "llama", "destination": "models/llama"})
    assert answer.status_code == 201
    body = answer.json()
    assert answer["Location"].endswith(f"/api/v1/jobs/{body['id']}/")
    assert (body["state"], body["nodes_total"], body["created_by"]) == ("running", 2, "ada")
    assert body["nodes"] == {"all": True}
    assert api.get(answer["Location"]).json() == body
    assert [row["id"] for row in api.get(JOBS, {"state": "running"}).json()["results"]] == [body["id"]]
    assert api.get(JOBS, {"state": "failed"}).json()["count"] == 0
    ended = api.post(f"{JOBS}{body['id']}/cancel/", {"reason": "enough"})
    assert (ended.status_code, ended.json()["state"], ended.json()["error"]) == (200, "cancelled", "enough")
    again = api.post(f"{JOBS}{body['id']}/cancel/")
    assert again.status_code == 409
    assert "is cancelled and cannot be cancelled" in again.json()["errors"][0]["detail"]


def test_the_nodes_and_files_of_a_job_can_be_read(api: APIClient, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = created(api, payload)
    rows = api.get(f"{JOBS}{job['id']}/nodes/").json()["results"]
    assert [(row["node"], row["state"], row["node_state"]) for row in rows] == [
        ("gpu-01", "enrolled", "live"),
        ("gpu-02", "enrolled", "live"),
    ]
    assert api.get(f"{JOBS}{job['id']}/nodes/", {"state": "done"}).json()["count"] == 0
    files = api.get(f"{JOBS}{job['id']}/files/").json()["results"]
    assert [file["name"] for file in files] == ["config.json", "model.bin"]
    assert api.get(f"{JOBS}{job['id']}/transfers/").json()["results"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"source": "http://example.org/"}, "source"),
        ({"source": "gs://weights/nothing-there/"}, "source"),
        ({"topology": "star"}, "topology"),
        ({"shard_size": 3}, "shard_size"),
        ({"shard_size": "big"}, "shard_size"),
        ({"nodes": {"names": ["gpu-77"]}}, "nodes"),
        ({"nodes": {"wrong": 1}}, "nodes"),
        ({"destination": "../../etc"}, "destination"),
        ({"gcs_slots": 0}, "gcs_slots"),
        ({"priority": 10**12}, "priority"),
        ({"source": ""}, "source"),
    ],
)
def test_a_wrong_field_is_named(api: APIClient, fleet: Fleet, payload: str, fields: dict[str, Any], field: str) -> None:
    fleet.add("gpu-01")
    answer = api.post(JOBS, {"source": payload, **fields})
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:fdist:invalid"
    assert answer.json()["detail"].startswith(f"{field}: ")
    assert list(errors(answer)) == [field]
    assert not Job.objects.exists()


def test_without_a_token_nothing_is_told(client: Any, fleet: Fleet) -> None:
    for address in (JOBS, "/api/v1/nodes/", "/api/v1/schema/"):
        assert client.get(address).status_code == 401
    assert client.post(JOBS, {}).status_code == 401


def test_permissions_decide(viewer: AbstractUser, admin: AbstractUser, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    job = created(client_of(admin), payload)
    vic = client_of(viewer)
    assert vic.get(JOBS).status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="view_job"))
    assert vic.get(JOBS).status_code == 200
    assert vic.get(f"{JOBS}{job['id']}/nodes/").status_code == 200
    assert vic.post(JOBS, {"source": payload}).status_code == 403
    for act in ("cancel", "pause", "resume", "retry", "verify", "purge"):
        assert vic.post(f"{JOBS}{job['id']}/{act}/").status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="cancel_job"))
    assert vic.post(f"{JOBS}{job['id']}/cancel/").status_code == 200


def test_pause_resume_and_purge(api: APIClient, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    job = created(api, payload)
    act = f"{JOBS}{job['id']}/"
    assert api.post(f"{act}pause/").json()["state"] == "paused"
    assert api.post(f"{act}resume/").json()["state"] == "running"
    assert api.post(f"{act}purge/").status_code == 409
    api.post(f"{act}cancel/")
    assert api.post(f"{act}purge/").json()["purged_at"]


@pytest.mark.parametrize("id_", ["none", "0", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
def test_a_job_that_is_not_there_is_not_found(api: APIClient, links: Links, id_: str) -> None:
    assert api.get(f"{JOBS}{id_}/").status_code == 404
    assert api.get(f"{JOBS}{id_}/nodes/").status_code == 404


def test_an_unreachable_scheduler_is_said_for_a_purge(
    api: APIClient, fleet: Fleet, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("gpu-01")
    job = created(api, payload)
    api.post(f"{JOBS}{job['id']}/cancel/")
    away = Links("redis://127.0.0.1:9/0", "redis://127.0.0.1:9/1", "main")
    monkeypatch.setattr("transfers.submission.get_links", lambda: away)
    assert api.post(f"{JOBS}{job['id']}/purge/").status_code == 503


def test_nodes_are_listed_and_narrowed_by_labels(api: APIClient, fleet: Fleet, links: Links) -> None:
    fleet.add("gpu-01", labels={"zone": "a"}).add("gpu-02", labels={"zone": "b", "contains": "x"})
    node_facts(links)
    listed = api.get("/api/v1/nodes/").json()["results"]
    assert [row["name"] for row in listed] == ["gpu-01", "gpu-02"]
    for labels, found in (("zone=a", 1), ("zone=b,contains=x", 1), ("zone=c", 0), ("contains=y", 0)):
        assert api.get("/api/v1/nodes/", {"labels": labels}).json()["count"] == found, labels
    assert api.get("/api/v1/nodes/", {"labels": "zone"}).status_code == 400
    assert api.get("/api/v1/nodes/gpu-02/").json()["labels"]["zone"] == "b"
    assert api.get("/api/v1/nodes/gpu-09/").status_code == 404


def test_lists_cost_the_same_number_of_queries_whatever_their_length(
    api: APIClient, fleet: Fleet, payload: str
) -> None:
    fleet.add("gpu-01")

    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get(address).status_code == 200
        return len(captured)

    job = created(api, payload)
    nodes = f"{JOBS}{job['id']}/nodes/"
    few = queries(JOBS), queries(nodes)
    rows = Node.objects.bulk_create([Node(name=f"n{i}") for i in range(30)])
    JobNode.objects.bulk_create([JobNode(job_id=job["id"], node=row) for row in rows])
    for _ in range(3):
        created(api, payload)
    assert (queries(JOBS), queries(nodes)) == few
    assert few[0] <= 4


def test_the_schema_and_its_pages_are_served(api: APIClient, client: Any, admin: AbstractUser) -> None:
    schema = api.get("/api/v1/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json")
    assert schema.status_code == 200
    client.force_login(admin)
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    assert b"cdn" not in page.content
    assert b"<script>" not in page.content


def test_health_needs_no_login(client: Any, links: Links, db: None) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok", "database": "ok", "redis": "ok"}


def test_readiness_names_what_is_missing(client: Any, db: None, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "ok", "redis": "unreachable"}
