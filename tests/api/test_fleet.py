"""The fleet over REST: nodes, transfers, the cell; and the parts of a job that are lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from nodes.models import Node
from tests.site_fixtures import Fleet, fold
from transfers import submission
from transfers.coordinator.leader import Leader
from transfers.coordinator.parts import PARTS
from transfers.links import Links
from transfers.models import Job, Transfer

pytestmark = pytest.mark.django_db
API = "/api/v1/"


@pytest.fixture
def job(fleet: Fleet, payload: str) -> Job:
    fleet.add("gpu-01", "gpu-02")
    return submission.submit({"source": payload, "name": "llama"})


def get(api: APIClient, path: str, **query: Any) -> Any:
    answer = api.get(f"{API}{path}", query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_node_is_drained_and_enabled(api: APIClient, job: Job, links: Links) -> None:
    assert api.post(f"{API}nodes/gpu-01/drain/").json()["state"] == "draining"
    assert {view.name: view.state for view in links.scheduler.nodes()}["gpu-01"] == "draining"
    assert api.post(f"{API}nodes/gpu-01/enable/").json()["state"] == "live"
    assert api.post(f"{API}nodes/gpu-77/drain/").status_code == 404


def test_a_node_that_is_gone_is_removed_and_one_that_lives_is_not(api: APIClient, job: Job, links: Links) -> None:
    assert api.delete(f"{API}nodes/gpu-01/").status_code == 409
    links.scheduler.leave("gpu-01")
    submission.node_facts(links)
    assert api.delete(f"{API}nodes/gpu-01/").status_code == 204
    submission.node_facts(links)
    assert [row["name"] for row in get(api, "nodes/")["results"]] == ["gpu-02"]
    assert [row["name"] for row in get(api, "nodes/", state="removed")["results"]] == ["gpu-01"]


def test_shards_tell_their_digest_and_their_live_copies(api: APIClient, job: Job, fleet: Fleet, links: Links) -> None:
    path = f"jobs/{job.pk}/shards/"
    rows = get(api, path)["results"]
    assert (rows[0]["index"], rows[0]["crc32c"], rows[0]["copies"]) == (0, None, 0)
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    rows = get(api, path)["results"]
    assert len(rows) == job.shard_count
    assert all(row["crc32c"] and row["copies"] == 2 for row in rows)
    assert get(api, path, known="false")["count"] == 0
    links.scheduler.forget(job.id.hex)
    assert {row["copies"] for row in get(api, path)["results"]} == {None}


def test_a_job_is_followed_by_its_events(api: APIClient, job: Job, fleet: Fleet, links: Links) -> None:
    path = f"jobs/{job.pk}/events/"
    fold(links)
    first = get(api, path)["results"]
    assert {(row["kind"], row["node"]) for row in first} == {("enrolled", "gpu-01"), ("enrolled", "gpu-02")}
    last = first[-1]["id"]
    assert get(api, path, after=last)["results"] == []
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    later = get(api, path, after=last)["results"]
    assert [row["kind"] for row in later] == ["node_done", "node_done", "job_state"]
    assert later[-1]["state"] == "complete"
    assert [row["id"] for row in get(api, path, kind="job_state")["results"]] == [later[-1]["id"]]
    assert api.get(f"{API}{path}", {"after": "x"}).status_code == 400
    page = get(api, path, page_size=2)
    assert len(page["results"]) == 2
    assert [row["id"] for row in api.get(page["next"]).json()["results"]] == [row["id"] for row in later[:2]]


def test_transfers_that_ended_are_found_by_what_they_were(api: APIClient, job: Job, fleet: Fleet, links: Links) -> None:
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    count = job.shard_count
    assert len(get(api, "transfers/")["results"]) == 2 * count
    assert len(get(api, "transfers/", source="bucket")["results"]) == count
    assert len(get(api, "transfers/", node="gpu-01", job=str(job.pk))["results"]) == count
    assert get(api, "transfers/", ended_after=timezone.now().isoformat().replace("+00:00", "Z"))["results"] == []
    assert get(api, "transfers/", outcome="failed")["results"] == []
    times = [parse_datetime(row["ended_at"]) for row in get(api, f"jobs/{job.pk}/transfers/")["results"]]
    assert times == sorted(times, reverse=True)


def test_transfers_under_way_are_listed(api: APIClient, job: Job, fleet: Fleet, links: Links) -> None:
    fleet.announce(job.id.hex)
    work = links.scheduler.next("gpu-01", fleet.epochs["gpu-01"], [], want=1).assignments
    assert len(work) == 1
    rows = get(api, "transfers/active/")["results"]
    assert [(row["lease"], row["job"], row["node"], row["source"]) for row in rows] == [
        (work[0].lease, str(job.pk), "gpu-01", None)
    ]
    assert get(api, "transfers/active/", node="gpu-02")["results"] == []
    assert get(api, "transfers/active/", job=str(job.pk), node="gpu-01")["count"] == 1
    assert api.get(f"{API}transfers/active/", {"job": "x"}).status_code == 400


def test_the_cell_is_seen_at_a_glance(api: APIClient, job: Job, fleet: Fleet, links: Links) -> None:
    assert Leader(links.redis, links.cell, "planner").lead()
    cell = get(api, "cell/")
    assert (cell["name"], cell["nodes"], cell["jobs"]) == ("main", {"live": 2}, {"running": 1})
    assert cell["coordinator"] == {part: part == "planner" for part in PARTS}
    assert cell["disk_free"] == 2 * 10**12
    assert cell["recorder_seconds_behind"] >= 0
    fold(links)
    assert get(api, "cell/")["recorder_seconds_behind"] == 0


def test_an_unreachable_scheduler_is_said(api: APIClient, job: Job, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    for path in ("cell/", "transfers/active/"):
        answer = api.get(f"{API}{path}")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:fdist:unavailable")
    assert get(api, f"jobs/{job.pk}/shards/")["results"][0]["copies"] is None


def test_the_history_of_a_million_transfers_is_not_counted(api: APIClient, job: Job) -> None:
    node = Node.objects.get(name="gpu-01")
    now = timezone.now()
    Transfer.objects.bulk_create(
        Transfer(job=job, node=node, shard=shard % 4, outcome="done", ended_at=now) for shard in range(300)
    )
    with CaptureQueriesContext(connection) as captured:
        page = get(api, "transfers/", page_size=200)
    assert not any("COUNT(" in query["sql"] for query in captured)
    seen = [row["id"] for row in page["results"]]
    seen += [row["id"] for row in api.get(page["next"]).json()["results"]]
    assert len(set(seen)) == 300
