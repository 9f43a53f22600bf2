"""Whole jobs between real processes: submitted by the REST API, disturbed, and compared byte by byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fdist_site.local.processes import wait_until
from tests.e2e.conftest import SHARD, SLOW, Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
both = pytest.mark.parametrize("topology", ["mesh", "pipeline"])
SLOTS = SLOW.gcs_slots + SLOW.download_slots  # shards that may be under way on a node
IN_FLIGHT = 3 * SLOTS * SHARD  # bytes that may be under way on three nodes when something is lost


@both
def test_every_file_reaches_every_node_and_leaves_the_bucket_once(stage: Stage, topology: str) -> None:
    names = stage.agents(3)
    job = stage.submit(topology, names, destination=topology)
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, topology)
    stage.assert_read_once(job)
    wait_until(lambda: stage.fleet.job(job)["nodes_done"] == 3, 60, "the record to count three nodes")


@both
def test_a_node_killed_half_way_does_not_stop_the_others_and_resumes_when_it_is_back(
    stage: Stage, topology: str
) -> None:
    names = stage.agents(3)
    job = stage.submit(topology, names, destination="killed")
    stage.wait_part(job, 0.3)
    victim = names[1]
    had = stage.held(job, victim)
    stage.fleet.kill(victim)
    for name in (names[0], names[2]):
        stage.wait_node(job, name)
    stage.assert_right([names[0], names[2]], "killed")
    stage.start(victim)
    stage.wait_node(job, victim)  # the job itself was complete before: it waits for nodes that live
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, "killed")
    moved = [event for event in stage.events(job, "done") if event["node"] == victim]
    shards = stage.fleet.job(job)["shard_count"]
    assert had > 0
    assert len(moved) <= shards + SLOTS  # what it had proved was not moved again; what was being reported may be


def test_shards_that_rot_on_a_peer_are_noticed_and_fetched_elsewhere(stage: Stage) -> None:
    names = stage.agents(1)
    rotten = names[0]
    first = stage.submit("mesh", names, destination="rot")
    assert stage.fleet.wait_job(first) == "complete"
    names += stage.agents(2)
    job = stage.submit("mesh", names, destination="rot")
    shards = stage.fleet.job(job)["shard_count"]
    wait_until(lambda: stage.held(job, rotten) == shards, 60, "the holder to announce")
    for path in (stage.fleet.data_dir(rotten) / "rot").glob("*.safetensors"):
        flip_bytes(path)
    for name in names[1:]:
        stage.wait_node(job, name)
    stage.assert_right(names[1:], "rot")
    caught = stage.events(job, "corrupt")
    assert caught
    assert {event["source"] for event in caught} == {rotten}


def flip_bytes(path: Path, every: int = 64 * 1024) -> None:
    """Change bytes all over a file, in place, as a bad disk would."""
    with path.open("r+b") as stream:
        for offset in range(0, path.stat().st_size, every):
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ 0xFF]))


@both
def test_a_node_that_joins_late_gets_the_whole_job(stage: Stage, topology: str) -> None:
    label = f"group=late-{topology}"
    names = stage.agents(2, label)
    job = stage.submit(topology, names, destination="late", nodes={"labels": {"group": f"late-{topology}"}})
    stage.wait_part(job, 0.2)
    names += stage.agents(1, label)
    for name in names:  # the job may have been complete before it heard of the late one
        stage.wait_node(job, name)
    stage.assert_right(names, "late")
    wait_until(lambda: stage.fleet.job(job)["nodes_done"] == 3, 60, "the record to count three nodes")
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_read_once(job)


def test_a_coordinator_that_dies_and_comes_back_costs_no_second_read_of_the_bucket(stage: Stage) -> None:
    names = stage.agents(3)
    job = stage.submit("mesh", names, destination="coordinator")
    stage.wait_part(job, 0.3)
    stage.fleet.kill("coordinator")
    stage.wait_part(job, 0.6)  # nodes go on without it
    stage.fleet.start_coordinator()
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, "coordinator")
    stage.assert_read_once(job)


def test_no_verified_byte_is_fetched_again_when_redis_loses_everything(stage: Stage) -> None:
    names = stage.agents(3)
    job = stage.submit("mesh", names, destination="flushed")
    stage.wait_part(job, 0.4)
    stage.fleet.redis.flushall()
    for name in names:
        stage.wait_node(job, name)
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, "flushed")
    assert stage.fetched(job, names) <= 3 * stage.payload.size + IN_FLIGHT
    assert stage.fetched(job, names, "gcs") <= stage.payload.size + IN_FLIGHT


@both
def test_a_restart_of_redis_and_broker_in_the_middle_is_survived(stage: Stage, topology: str) -> None:
    names = stage.agents(3)
    job = stage.submit(topology, names, destination="restarted")
    stage.wait_part(job, 0.4)
    assert stage.fleet.redis_server is not None
    stage.fleet.redis_server.restart()
    for name in names:
        stage.wait_node(job, name)
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, "restarted")
    assert stage.fetched(job, names) <= 3 * stage.payload.size + IN_FLIGHT
    second = stage.submit(topology, names, destination="after")  # nudges arrive again as well
    assert stage.fleet.wait_job(second) == "complete"
    stage.assert_right(names, "after")


def test_a_cancelled_job_stops_at_once_and_leaves_nothing(stage: Stage) -> None:
    names = stage.agents(2)
    job = stage.submit("mesh", names, destination="cancelled")
    stage.wait_part(job, 0.2)
    stage.fleet.api("POST", f"jobs/{job}/cancel/", json={"reason": "not needed"})
    assert stage.fleet.wait_job(job) == "cancelled"

    def nothing_left() -> bool:
        # os.walk passes over what is deleted while it looks
        found = (at for name in names for at in os.walk(stage.fleet.data_dir(name)))
        return not any(files and job in folder for folder, _, files in found)

    wait_until(nothing_left, 60, "the parts of the cancelled job to go")
    assert not any((stage.fleet.data_dir(name) / "cancelled").exists() for name in names)
