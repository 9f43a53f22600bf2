"""The planner: late joiners, lost data, quiet nodes; and the loops around the parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py

from nodes.models import EnrolmentKey, Node
from tests.site_fixtures import KEY, Fleet, fold
from transfers import submission
from transfers.coordinator.leader import HOLD_SECONDS, Leader, lock_name
from transfers.coordinator.loop import Loop
from transfers.coordinator.parts import Reaper
from transfers.coordinator.planner import NUDGE_AGAIN_SECONDS, RECONCILE_SECONDS, Planner
from transfers.errors import NotEnrolled
from transfers.links import Links
from transfers.models import Job, JobNode, JobNodeState, JobState
from transfers.scheduler.types import NodeInfo

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def planner(links: Links, clock: Clock) -> Planner:
    return Planner(links, clock)


def nodes_of(links: Links, job: Job) -> dict[str, str]:
    return {row.node: row.state for row in links.scheduler.job_nodes(job.id.hex)}


def test_a_chain_goes_through_one_zone_after_the_other(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-03", labels={"zone": "b"}).add("gpu-02", "gpu-04", labels={"zone": "a"})
    job = submission.submit({"source": payload, "topology": "pipeline"})
    chain = [row.node for row in links.scheduler.job_nodes(job.id.hex)]
    assert chain == ["gpu-02", "gpu-04", "gpu-01", "gpu-03"]


@pytest.mark.parametrize(
    ("zones", "asked", "kept"), [("ab", None, True), ("ab", False, False), ("aa", None, False)], ids=str
)
def test_nodes_keep_to_their_zone_where_there_are_several(
    fleet: Fleet, links: Links, payload: str, zones: str, asked: bool | None, kept: bool
) -> None:
    for number, zone in enumerate(zones):
        fleet.add(f"gpu-{number}", labels={"zone": zone})
    job = submission.submit({"source": payload, "own_zone": asked})
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.own_zone == kept


def test_nodes_that_join_late_get_the_job_if_they_match(
    fleet: Fleet, links: Links, payload: str, planner: Planner, redis_server: Any
) -> None:
    fleet.add("gpu-01", labels={"zone": "a"})
    job = submission.submit({"source": payload, "nodes": {"labels": {"zone": "a"}}})
    fleet.add("gpu-02", labels={"zone": "a"}).add("gpu-03", labels={"zone": "b"})
    planner.step()
    assert set(nodes_of(links, job)) == {"gpu-01", "gpu-02"}
    assert set(job.job_nodes.values_list("node__name", flat=True)) == {"gpu-01", "gpu-02"}
    broker = redis_py.Redis.from_url(redis_server.broker_url)
    assert broker.llen("node.gpu-02") == 1
    planner.step()
    assert broker.llen("node.gpu-02") == 1, "told once"


def test_a_late_node_without_room_is_left_out(fleet: Fleet, links: Links, payload: str, planner: Planner) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    fleet.add("gpu-02", disk_free=1000)
    planner.step()
    assert set(nodes_of(links, job)) == {"gpu-01"}


def test_a_job_that_ended_takes_no_late_nodes(fleet: Fleet, links: Links, payload: str, planner: Planner) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    submission.cancel(job)
    fleet.add("gpu-02")
    planner.step()
    assert set(job.job_nodes.values_list("node__name", flat=True)) == {"gpu-01"}


def test_a_job_planned_while_redis_was_away_is_published(
    fleet: Fleet, links: Links, payload: str, planner: Planner
) -> None:
    fleet.add("gpu-01")
    submission.node_facts(links)
    away = Links("redis://127.0.0.1:9/0", links.broker_url, links.cell)
    job = submission.submit({"source": payload}, links=away)
    planner.step()
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    assert set(nodes_of(links, job)) == {"gpu-01"}


def test_after_flushall_nothing_that_a_node_holds_leaves_the_bucket_again(
    fleet: Fleet, links: Links, payload: str, planner: Planner, redis: redis_py.Redis
) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex, turns=1)
    fold(links)
    held_before = {shard for (_, _), shards in fleet.held.items() for shard in shards}
    assert held_before
    redis.flushdb()
    planner.step()
    fleet.add("gpu-01", "gpu-02")  # their heartbeats are not known any more: they register again
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)
    job.refresh_from_db()
    assert job.state == JobState.COMPLETE
    from_bucket = list(job.transfers.filter(source=None, outcome="done").values_list("shard", flat=True))
    assert len(from_bucket) == len(set(from_bucket)) == job.shard_count


def test_a_lost_redis_gets_enrolment_keys_and_pauses_and_drains_back(
    fleet: Fleet, links: Links, payload: str, planner: Planner, redis: redis_py.Redis
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    submission.pause(job)
    Node.objects.filter(name="gpu-01").update(draining=True)
    redis.flushdb()
    with pytest.raises(NotEnrolled):
        fleet.add("gpu-01")
    planner.step()
    fleet.add("gpu-01")
    planner.step()
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.state == "paused"
    assert [node.state for node in links.scheduler.nodes()] == ["draining"]


def test_a_revoked_key_registers_nobody(fleet: Fleet, links: Links, planner: Planner) -> None:
    EnrolmentKey.objects.get(name="tests").revoke()
    planner.step()
    with pytest.raises(NotEnrolled):
        links.scheduler.register(NodeInfo("gpu-09", "127.0.0.1:1", "ab" * 16), KEY)


def test_quiet_nodes_with_work_are_woken_again_but_not_all_the_time(
    fleet: Fleet, links: Links, payload: str, planner: Planner, clock: Clock, redis_server: Any
) -> None:
    fleet.add("gpu-01")
    submission.submit({"source": payload})
    broker = redis_py.Redis.from_url(redis_server.broker_url)
    broker.flushdb()  # the first nudge is lost
    planner.step()
    assert broker.llen("node.gpu-01") == 1
    clock.now += RECONCILE_SECONDS
    planner.step()
    assert broker.llen("node.gpu-01") == 1
    clock.now += NUDGE_AGAIN_SECONDS
    planner.step()
    assert broker.llen("node.gpu-01") == 2


def test_what_the_lost_events_said_is_made_good(
    fleet: Fleet, links: Links, payload: str, planner: Planner, redis: redis_py.Redis
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    redis.delete("{fdist:main}:events")
    planner.step()
    job.refresh_from_db()
    row = JobNode.objects.get(job=job)
    assert (row.state, row.shards_held) == (JobNodeState.DONE, job.shard_count)
    assert job.state == JobState.COMPLETE


def test_a_cancel_that_redis_did_not_hear_is_told_later(
    fleet: Fleet, links: Links, payload: str, planner: Planner
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    submission.cancel(job, links=Links("redis://127.0.0.1:9/0", links.broker_url, links.cell))
    planner.step()
    view = links.scheduler.job(job.id.hex)
    assert view is not None and view.state == "cancelled"


def test_the_fleet_is_mirrored(fleet: Fleet, planner: Planner) -> None:
    fleet.add("gpu-01", labels={"zone": "a"}, disk_free=12345)
    planner.step()
    node = Node.objects.get(name="gpu-01")
    assert (node.state, node.labels, node.disk_free) == ("live", {"zone": "a"}, 12345)


def test_of_two_coordinators_one_leads_and_the_other_takes_over(redis: redis_py.Redis) -> None:
    first, second = Leader(redis, "main", "reaper"), Leader(redis, "main", "reaper")
    assert first.lead() and not second.lead()
    assert first.lead(), "and keeps leading"
    first.resign()
    assert second.lead() and not first.lead()


def test_a_leader_whose_time_ran_out_stands_by(redis: redis_py.Redis) -> None:
    first, second = Leader(redis, "main", "reaper"), Leader(redis, "main", "reaper")
    assert first.lead()
    redis.delete("fdist-lead:main:reaper")  # it was away for longer than the lock lasts
    assert second.lead()
    assert not first.lead()


def loop_of(step: Callable[[], float], redis: redis_py.Redis) -> Loop:
    class Part:
        name = "part"

        def step(self) -> float:
            return step()

    return Loop(Part(), Leader(redis, "main", "part"), threading.Event())


def test_a_loop_waits_longer_after_each_failure_and_recovers(redis: redis_py.Redis) -> None:
    answers: list[Any] = [
        redis_py.ConnectionError("gone"),
        redis_py.ConnectionError("gone"),
        ValueError("a fault"),
        7.0,
    ]

    def step() -> float:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return float(answer)

    loop = loop_of(step, redis)
    waits = [loop.turn() for _ in range(3)]
    assert waits[0] < 0.26
    assert waits[2] >= 0.5
    assert loop.turn() == 7.0
    assert loop.backoff == 0.25


def test_a_part_that_rests_long_keeps_the_lead_and_one_that_stands_by_does_not_take_it(redis: redis_py.Redis) -> None:
    lock = lock_name("main", "part")
    left: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            left.append(redis.pttl(lock) / 1000)
            redis.pexpire(lock, 1000)  # as if the time had passed
            return False

    loop = loop_of(lambda: 12.0, redis)
    loop.stop = Clock()
    loop.rest(loop.turn())
    assert len(left) == 5 and min(left) > HOLD_SECONDS / 2
    loop.leader.resign()
    left.clear()
    loop.rest(12.0)
    assert len(left) == 5 and not redis.exists(lock)


def test_the_reaper_reaps(fleet: Fleet, links: Links) -> None:
    fleet.add("gpu-01")
    assert Reaper(links).step() <= 0.5
