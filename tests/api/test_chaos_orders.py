"""Faults on purpose over REST."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from rest_framework.test import APIClient

from tests.site_fixtures import Fleet, client_of
from transfers.links import Links
from transfers.scheduler.types import Heartbeat
from transfers.submission import node_facts

pytestmark = pytest.mark.django_db
CHAOS = "/api/v1/nodes/gpu-01/chaos/"


@pytest.fixture
def node(fleet: Fleet, links: Links) -> Fleet:
    fleet.add("gpu-01")
    node_facts(links)
    return fleet


def orders(fleet: Fleet) -> list[Any]:
    return list(fleet.scheduler.heartbeat(Heartbeat("gpu-01", fleet.epochs["gpu-01"])).orders)


def test_no_fault_is_made_on_a_fleet_that_is_not_for_it(api: APIClient, node: Fleet, settings: Any) -> None:
    answer = api.post(CHAOS, {"act": "kill"})
    assert (answer.status_code, orders(node)) == (409, [])
    assert "FDIST_TEST_FLEET" in answer.json()["detail"]
    assert api.get("/api/v1/cell/").json()["test_fleet"] is False
    settings.TEST_FLEET = True
    assert api.get("/api/v1/cell/").json()["test_fleet"] is True


def test_a_node_of_a_test_fleet_is_told_with_its_next_heartbeat(api: APIClient, node: Fleet, settings: Any) -> None:
    settings.TEST_FLEET = True
    job = "0" * 31 + "1"
    assert api.post(CHAOS, {"act": "kill"}).status_code == 202
    assert api.post(CHAOS, {"act": "slow", "rate": 8000, "seconds": 5}).status_code == 202
    assert api.post(CHAOS, {"act": "corrupt", "job": job, "shards": 2}).status_code == 202
    assert orders(node) == [
        {"op": "chaos", "act": "kill"},
        {"op": "chaos", "act": "slow", "rate": 8000, "seconds": 5},
        {"op": "chaos", "act": "corrupt", "shards": 2, "job": job},
    ]


def test_what_makes_no_sense_is_refused_by_its_field(api: APIClient, node: Fleet, settings: Any) -> None:
    settings.TEST_FLEET = True
    for body, field in (
        ({"act": "melt"}, "act"),
        ({"act": "corrupt"}, "job"),
        ({"act": "slow", "seconds": 0}, "seconds"),
    ):
        answer = api.post(CHAOS, body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    node.scheduler.leave("gpu-01")
    assert api.post("/api/v1/nodes/gpu-77/chaos/", {"act": "kill"}).status_code == 404


def test_it_needs_the_permission_to_remove_nodes(viewer: AbstractUser, node: Fleet, settings: Any) -> None:
    settings.TEST_FLEET = True
    assert client_of(viewer).post(CHAOS, {"act": "kill"}).status_code == 403
