"""The fleet over REST: nodes, transfers, the cell; and the parts of a job that are lists."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from nodes import inventory
from nodes.inventory import Inventory, Kept
from nodes.models import Node
from tests.site_fixtures import TERABYTE, Fleet, fold
from transfers import submission
from transfers.coordinator.leader import Leader
from transfers.coordinator.parts import PARTS
from transfers.coordinator.planner import Planner
from transfers.links import Links
from transfers.models import Job, Transfer
from transfers.scheduler.types import Heartbeat

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


def test_a_node_that_beats_was_heard_of_now_though_the_record_is_written_less_often(
    api: APIClient, client: Client, admin: AbstractUser, fleet: Fleet, links: Links, settings: Any
) -> None:
    client.force_login(admin)
    planner = Planner(links)
    fleet.add("gpu-01", "gpu-02")
    planner.step()
    recorded = Node.objects.get(name="gpu-01").last_seen
    assert recorded is not None
    time.sleep(0.05)
    links.scheduler.heartbeat(Heartbeat("gpu-01", fleet.epochs["gpu-01"], disk_free=TERABYTE))
    planner.step()
    assert Node.objects.get(name="gpu-01").last_seen == recorded, "a quiet node is not written at each heartbeat"

    def heard() -> dict[str, Any]:
        return {row["name"]: parse_datetime(row["last_seen"]) for row in get(api, "nodes/")["results"]}

    now = heard()
    assert now["gpu-01"] > recorded
    assert now["gpu-02"] == Node.objects.get(name="gpu-02").last_seen
    assert parse_datetime(get(api, "nodes/gpu-01/")["last_seen"]) == now["gpu-01"]
    for page in ("nodes", "node"):
        told = client.get(reverse(page, kwargs={"name": "gpu-01"} if page == "node" else None)).context
        shown = told["page"].object_list[0] if page == "nodes" else told["node"]
        assert shown.last_seen == now["gpu-01"]
    listed = client.get(reverse("admin:nodes_node_changelist")).context["cl"].result_list
    assert [node.last_seen for node in listed] == [now["gpu-01"], now["gpu-02"]]
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    assert heard()["gpu-01"] == recorded, "without the scheduler it is what the record knows"


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


def test_the_cells_sums_are_of_the_nodes_that_are_up(api: APIClient, job: Job, fleet: Fleet, links: Links) -> None:
    fleet.announce(job.id.hex)
    for name, rate in (("gpu-01", 2e8), ("gpu-02", 3e8)):
        told = Heartbeat(name, fleet.epochs[name], disk_free=10**11, rate_down=rate, rate_gcs=rate / 10)
        links.scheduler.heartbeat(told)
    assert len(links.scheduler.next("gpu-01", fleet.epochs["gpu-01"], [], want=1).assignments) == 1
    names = ("rate_from_peers", "rate_from_bucket", "disk_free", "disk_total", "bucket_reads", "transfers")
    cell = get(api, "cell/")
    assert [cell[name] for name in names] == [5e8, 5e7, 2 * 10**11, 2 * 10**12, 1, 1]
    views = links.scheduler.nodes()
    assert cell["bucket_reads"] == sum(view.gcs_reads for view in views)
    links.scheduler.leave("gpu-02")
    cell = get(api, "cell/")
    assert [cell[name] for name in names[:4]] == [2e8, 2e7, 10**11, 10**12]


def test_what_a_node_keeps_is_listed_with_what_it_would_evict_first(
    api: APIClient, job: Job, links: Links, payload: str
) -> None:
    other = submission.submit({"source": payload, "name": "other", "destination": "other"})
    assert get(api, "nodes/gpu-01/kept/")["results"] == []
    unknown = "0" * 31 + "1"
    kept = {
        job.id.hex: Kept(10, pinned=False, whole=True, wanted_at=1.8e9, evictable=True),
        other.id.hex: Kept(20, pinned=False, whole=True, wanted_at=1.7e9, evictable=True),
        unknown: Kept(30, pinned=True, whole=False),
        "made by hand": Kept(40, pinned=False, whole=False),
    }
    inventory.put(links.redis, links.cell, "gpu-01", Inventory(1, 10**9, 60, 30, kept))
    rows = get(api, "nodes/gpu-01/kept/")["results"]
    assert [(row["job"], row["name"], row["eviction"], row["wanted_at"]) for row in rows] == [
        (str(other.pk), "other", 1, "2023-11-14T22:13:20Z"),
        (str(job.pk), "llama", 2, "2027-01-15T08:00:00Z"),
        (str(UUID(unknown)), "", None, None),
    ]
    assert get(api, "nodes/gpu-01/kept/", page_size=1)["count"] == 3
    assert api.get(f"{API}nodes/gpu-99/kept/").status_code == 404


def test_an_unreachable_scheduler_is_said(api: APIClient, job: Job, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    for path in ("cell/", "transfers/active/", "nodes/gpu-01/kept/"):
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
