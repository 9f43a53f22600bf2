"""The record follows what nodes say they keep: space, files that made room, pins."""

from __future__ import annotations

import pytest
import redis as redis_py

from nodes import inventory
from nodes.inventory import Inventory, Kept
from nodes.models import Node
from tests.site_fixtures import TERABYTE, Fleet, fold
from transfers import reopening, submission
from transfers.coordinator.planner import RECONCILE_SECONDS, Planner
from transfers.errors import InvalidTransition, PlanError
from transfers.links import Links
from transfers.models import Job, JobEvent, JobNode, JobNodeState, JobState

pytestmark = pytest.mark.django_db
NODES = ("gpu-01", "gpu-02")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def planner(links: Links, clock: Clock) -> Planner:
    return Planner(links, clock)


@pytest.fixture
def job(fleet: Fleet, links: Links, payload: str) -> Job:
    """Done on two nodes."""
    fleet.add(*NODES)
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    job.refresh_from_db()
    assert job.state == JobState.COMPLETE
    return job


def tell(links: Links, node: str, *jobs: Job, **fields: object) -> None:
    """What a node's agent would tell."""
    at = int(links.redis.time()[0]) * 1000 + 5000
    kept = {job.id.hex: Kept(job.size, pinned=False, whole=True) for job in jobs}
    values = {"quota": 10**9, "used": 10**8, "evictable": 10**8, "jobs": kept, **fields}
    inventory.put(links.redis, links.cell, node, Inventory(at=at, **values))  # type: ignore[arg-type]


def states(job: Job) -> dict[str, str]:
    return dict(JobNode.objects.filter(job=job).values_list("node__name", "state"))


def orders(fleet: Fleet, node: str) -> list[dict[str, object]]:
    from transfers.scheduler.types import Heartbeat

    reply = fleet.scheduler.heartbeat(Heartbeat(node=node, epoch=fleet.epochs[node]))
    return [dict(order) for order in reply.orders]


def test_files_that_made_room_are_not_claimed_any_more(job: Job, links: Links, planner: Planner) -> None:
    tell(links, "gpu-01", evicted=(job.id.hex,))
    tell(links, "gpu-02", job)
    planner.step()
    assert states(job) == {"gpu-01": JobNodeState.EVICTED, "gpu-02": JobNodeState.DONE}
    row = JobNode.objects.get(job=job, node__name="gpu-01")
    assert (row.shards_held, row.error) == (0, "evicted: another job needed the room")
    event = JobEvent.objects.get(job=job, kind="evicted")
    assert event.node is not None and event.node.name == "gpu-01"


def test_files_that_went_some_other_way_are_noticed_as_well(job: Job, links: Links, planner: Planner) -> None:
    tell(links, "gpu-01")
    planner.step()
    assert JobNode.objects.get(job=job, node__name="gpu-01").error == "its files are no longer on the node"


def test_what_was_told_before_the_node_was_done_says_nothing(job: Job, links: Links, planner: Planner) -> None:
    inventory.put(links.redis, links.cell, "gpu-01", Inventory(at=1, quota=None, used=0, evictable=0))
    planner.step()
    assert set(states(job).values()) == {JobNodeState.DONE}


def test_a_retry_brings_evicted_files_back(job: Job, links: Links, planner: Planner, fleet: Fleet) -> None:
    tell(links, "gpu-01", evicted=(job.id.hex,))
    planner.step()
    reopening.retry(job, links)
    assert states(job)["gpu-01"] == JobNodeState.ENROLLED
    assert links.scheduler.job(job.id.hex) is not None


def test_a_purged_job_stays_as_it_was_recorded(job: Job, links: Links, planner: Planner) -> None:
    submission.purge(job, links)
    tell(links, "gpu-01")
    planner.step()
    assert set(states(job).values()) == {JobNodeState.DONE}


def test_space_is_copied_into_the_record(job: Job, links: Links, planner: Planner) -> None:
    tell(links, "gpu-01", job)
    planner.step()
    node = Node.objects.get(name="gpu-01")
    assert (node.quota, node.used, node.evictable) == (10**9, 10**8, 10**8)


def test_a_pin_is_ordered_until_the_node_has_it(
    job: Job, links: Links, planner: Planner, clock: Clock, fleet: Fleet
) -> None:
    submission.pin(job, links)
    wanted = {"op": "pin", "job": job.id.hex}
    assert orders(fleet, "gpu-01") == [wanted]
    tell(links, "gpu-01", job)  # it was lost
    planner.step()
    assert orders(fleet, "gpu-01") == [wanted]
    clock.now += RECONCILE_SECONDS
    planner.step()
    assert orders(fleet, "gpu-01") == [], "not all the time"
    clock.now += 10
    planner.step()
    assert orders(fleet, "gpu-01") == [wanted]
    tell(links, "gpu-01", jobs={job.id.hex: Kept(1, pinned=True, whole=True)})
    clock.now += 20
    planner.step()
    assert orders(fleet, "gpu-01") == []
    submission.unpin(job, links)
    assert orders(fleet, "gpu-01") == [{"op": "unpin", "job": job.id.hex}]


def test_a_purge_takes_the_pin_along_and_a_purged_job_cannot_be_pinned(job: Job, links: Links) -> None:
    submission.pin(job, links)
    submission.purge(job, links)
    job.refresh_from_db()
    assert not job.pinned
    with pytest.raises(InvalidTransition, match="nothing to pin"):
        submission.pin(job, links)


def test_a_pin_without_redis_is_kept_in_the_record(job: Job, links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object) -> None:
        raise redis_py.ConnectionError("away")

    monkeypatch.setattr(links.scheduler, "order", away)
    submission.pin(job, links)
    assert Job.objects.get(pk=job.pk).pinned


def test_planning_counts_what_a_quota_leaves_and_what_can_go(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add(*NODES)
    tell(links, "gpu-01", quota=2_000_000, used=2_000_000, evictable=0)
    with pytest.raises(PlanError, match="node gpu-01 has 0 B free"):
        submission.submit({"source": payload})
    tell(links, "gpu-01", quota=4_000_000, used=4_000_000, evictable=3_500_000)
    submission.submit({"source": payload})


def test_room_is_the_lesser_of_quota_and_disk() -> None:
    limited = Inventory(at=0, quota=100, used=70, evictable=20)
    assert (limited.room(1000), limited.room(10)) == (50, 30)
    assert Inventory(at=0, quota=None, used=70, evictable=0).room(TERABYTE) == TERABYTE
    assert Inventory(at=0, quota=10, used=70, evictable=20).room(1000) == 0
