"""Planning ahead over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.utils import timezone
from rest_framework.test import APIClient

from nodes import inventory
from nodes.inventory import Inventory, Kept
from nodes.models import Node
from tests.site_fixtures import Fleet, client_of
from transfers.foresight import evictions
from transfers.links import Links
from transfers.measured import busy_seconds
from transfers.models import Job, JobNode, JobState, Transfer
from transfers.planning import NodeFacts

pytestmark = pytest.mark.django_db
PLAN = "/api/v1/plan/"
MIB = 2**20


def planned(api: APIClient, payload: str, **fields: Any) -> dict[str, Any]:
    answer = api.post(PLAN, {"source": payload, **fields})
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def test_a_plan_says_what_the_job_then_is_and_saves_nothing(api: APIClient, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02")
    asked = {"topology": "pipeline", "shard_size": MIB, "destination": "models/x"}
    plan = planned(api, payload, **asked)
    assert Job.objects.count() == 0
    job = api.post("/api/v1/jobs/", {"source": payload, **asked}).json()
    same = ("source", "topology", "destination", "size", "file_count", "shard_size", "shard_count")
    assert {key: plan[key] for key in same} == {key: job[key] for key in same}
    assert (plan["node_count"], plan["fits"], plan["refusal"]) == (2, True, None)
    assert plan["disk_needed"] == job["size"]


def test_bytes_and_time_are_told_for_each_topology_and_assumed_rates_are_called_so(
    api: APIClient, fleet: Fleet, payload: str
) -> None:
    fleet.add("a", "b", "c", "d")
    plan = planned(api, payload)
    by = {each["topology"]: each for each in plan["forecasts"]}
    assert list(by) == ["direct", "pipeline", "mesh"]
    assert (by["direct"]["amplification"], by["mesh"]["amplification"]) == (4.0, 1.0)
    assert by["mesh"]["bytes_from_bucket"] == plan["size"]
    assert all(each["seconds"] > 0 and each["why"] for each in by.values())
    assert (plan["rates"]["measured_nodes"], plan["rates"]["bucket_read_measured"]) == (0, False)


def test_rates_are_those_that_the_record_has_of_each_node(
    api: APIClient, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("a", "b", "c")
    job = Job.objects.get(pk=api.post("/api/v1/jobs/", {"source": payload}).json()["id"])
    a, b = Node.objects.get(name="a"), Node.objects.get(name="b")
    now = timezone.now()

    def moved(node: Node, source: Node | None, seconds_ago: float, took: float) -> Transfer:
        ended = now - timedelta(seconds=seconds_ago)
        return Transfer(
            job=job, node=node, source=source, shard=0, outcome="done", bytes=8 * MIB, milliseconds=took * 1000,
            ended_at=ended,
        )  # fmt: skip

    # a reads two shards at once from the bucket in one second, is idle, and reads one more in half a second
    Transfer.objects.bulk_create([moved(a, None, 10, 1), moved(a, None, 10, 1), moved(a, None, 5, 0.5)])
    Transfer.objects.bulk_create([moved(b, a, 10, 4)])
    rates = planned(api, payload)["rates"]
    slowest = {row["name"]: row for row in rates["slowest"]}
    assert slowest["a"]["down"] == pytest.approx(3 * 8 * MIB / 1.5)
    assert slowest["b"]["down"] == pytest.approx(2 * MIB)
    assert slowest["a"]["up"] >= slowest["a"]["down"]
    assert [slowest[name]["measured"] for name in "abc"] == [True, True, False]
    assert (rates["measured_nodes"], rates["transfers"]) == (2, 4)
    assert (rates["bucket_read"], rates["bucket_read_measured"]) == (pytest.approx(8 * MIB), True)


def test_overlapping_times_count_once() -> None:
    assert busy_seconds([(0, 2), (1, 3), (5, 6), (5.2, 5.4)]) == 4
    assert busy_seconds([]) == 0


def test_a_node_without_room_is_named_with_what_would_help(
    api: APIClient, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("roomy")
    fleet.add("full", disk_free=MIB)
    old = Job.objects.create(
        source="gs://weights/old/", name="old model", destination="old", size=5 * MIB, shard_size=MIB, shard_count=5,
        file_count=1, state=JobState.COMPLETE, finished_at=timezone.now(),
    )  # fmt: skip
    plan = planned(api, payload)
    assert plan["fits"] is False
    assert plan["refusal"]["field"] == "nodes"
    refused = api.post("/api/v1/jobs/", {"source": payload})
    assert refused.json()["errors"][0]["detail"] == plan["refusal"]["detail"]
    (unfit,) = plan["unfit"]
    assert (unfit["name"], unfit["short_by"]) == ("full", plan["size"] - MIB)
    assert "nothing that fdist placed there can be purged" in unfit["why"]
    JobNode.objects.create(job=old, node=Node.objects.get(name="full"), state="done")
    (unfit,) = planned(api, payload)["unfit"]
    assert unfit["could_free"] == [{"job": old.id.hex, "name": "old model", "size": 5 * MIB}]
    assert "purging old model frees 5.2 MB" in unfit["why"]
    assert plan["disk_least_free"] == MIB


def test_jobs_that_make_room_are_named_in_the_order_in_which_they_would_go(
    api: APIClient, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("a", "b")
    planned(api, payload)
    kept = {"made by hand": Kept(MIB, pinned=False, whole=True, evictable=True)}
    for name, size, wanted in (("late", 9, 30.0), ("early", 3, 10.0), ("between", 2, 20.0), ("pinned", 4, 5.0)):
        job = Job.objects.create(
            source="gs://weights/old/", name=name, destination=name, size=size * MIB, shard_size=MIB, shard_count=size,
            file_count=1, state=JobState.COMPLETE, finished_at=timezone.now(),
        )  # fmt: skip
        pinned = name == "pinned"
        kept[job.id.hex] = Kept(size * MIB, pinned, whole=True, wanted_at=wanted, evictable=not pinned)
    inventory.put(links.redis, links.cell, "a", Inventory(1, 19 * MIB, 19 * MIB, 15 * MIB, kept))
    roomy = NodeFacts("b", disk_free=20 * MIB, evictable=5 * MIB)
    found = evictions([NodeFacts("a", disk_free=10 * MIB, evictable=6 * MIB), roomy], 8 * MIB, links)
    assert [(each.name, each.bytes, [job.name for job in each.likely]) for each in found] == [
        ("a", 4 * MIB, ["early", "between"])
    ]
    answered = planned(api, payload)["evicts"]
    assert [(each["name"], [job["name"] for job in each["likely"]]) for each in answered] == [
        ("a", ["early", "between"])
    ]


def test_nodes_that_are_meant_and_not_live_are_told_of(
    api: APIClient, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("a", "b", labels={"zone": "x"})
    fleet.add("c", labels={"zone": "y"})
    links.scheduler.leave("b")
    links.scheduler.leave("c")
    plan = planned(api, payload, nodes={"labels": {"zone": "x"}})
    assert plan["left_out"] == [{"name": "b", "state": "left"}]


def test_what_no_job_could_come_of_is_refused_as_a_job_is(api: APIClient, fleet: Fleet, payload: str) -> None:
    fleet.add("a")
    for wrong in ({"source": "gs://weights/nothing/"}, {"topology": "star"}, {"nodes": {"names": ["zz"]}}):
        body = {"source": payload, **wrong}
        plan, job = api.post(PLAN, body), api.post("/api/v1/jobs/", body)
        assert (plan.status_code, plan.json()) == (400, job.json())


def test_a_plan_needs_the_permission_to_submit(viewer: AbstractUser, fleet: Fleet, payload: str) -> None:
    answer = client_of(viewer).post(PLAN, {"source": payload})
    assert answer.status_code == 403
    assert "transfers.add_job" in answer.json()["detail"]
