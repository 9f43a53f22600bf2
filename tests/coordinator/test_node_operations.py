"""What people do to nodes."""

from __future__ import annotations

import pytest
import redis as redis_py
from django.contrib.auth.models import Group

from nodes import fleet as operations
from nodes.models import Node
from tests.site_fixtures import Fleet
from transfers.coordinator.planner import Planner
from transfers.errors import InvalidTransition
from transfers.links import Links

pytestmark = pytest.mark.django_db


@pytest.fixture
def node(fleet: Fleet, links: Links) -> Node:
    fleet.add("gpu-01")
    Planner(links).step()
    return Node.objects.get(name="gpu-01")


def state_of(links: Links) -> str:
    return links.scheduler.nodes()[0].state


def test_a_drained_node_stays_so_until_it_is_enabled(node: Node, fleet: Fleet, links: Links) -> None:
    operations.set_draining(node, True, links.scheduler)
    assert (node.state, state_of(links)) == ("draining", "draining")
    fleet.add("gpu-01")  # its agent starts again
    Planner(links).step()
    assert state_of(links) == "draining"
    operations.set_draining(node, False, links.scheduler)
    Planner(links).step()
    node.refresh_from_db()
    assert (node.state, node.draining, state_of(links)) == ("live", False, "live")


def test_a_drain_that_the_scheduler_did_not_hear_changes_nothing(node: Node, links: Links) -> None:
    away = Links("redis://127.0.0.1:9/0", links.broker_url, links.cell)
    with pytest.raises(redis_py.RedisError):
        operations.set_draining(node, True, away.scheduler)
    node.refresh_from_db()
    assert not node.draining


def test_a_node_that_is_gone_is_removed_and_comes_back_when_it_registers(
    node: Node, fleet: Fleet, links: Links
) -> None:
    with pytest.raises(InvalidTransition, match="stop its agent first"):
        operations.remove(node)
    links.scheduler.leave("gpu-01")
    planner = Planner(links)
    planner.step()
    node.refresh_from_db()
    operations.remove(node)
    planner.step()
    assert Node.objects.get(name="gpu-01").state == "removed", "the scheduler still lists it as gone"
    fleet.add("gpu-01")
    planner.step()
    assert Node.objects.get(name="gpu-01").state == "live"


def test_the_groups_are_there_and_each_may_more_than_the_one_before() -> None:
    found = {
        group.name: set(group.permissions.values_list("codename", flat=True))
        for group in Group.objects.prefetch_related("permissions")
    }
    assert found["viewer"] < found["operator"] < found["admin"]
    assert {"view_job", "view_node", "view_transfer"} <= found["viewer"]
    assert all(name.startswith("view_") for name in found["viewer"])
    assert found["operator"] - found["viewer"] == {
        "add_job",
        "change_job",
        "cancel_job",
        "add_standing",
        "change_standing",
        "rollback_standing",
        "drain_node",
        "cap_node",
    }
    assert {"purge_job", "remove_node", "add_enrolmentkey"} <= found["admin"]
