"""What an agent survives, and what it tells the scheduler when it cannot."""

from __future__ import annotations

import os
import signal
import time

import pytest

from nodes.agent.agent import Agent
from tests.agent.fleet import BUCKET, MB, SIGNER, Fleet, wait_until
from transfers.dataplane.names import STATE_DIR
from transfers.dataplane.store import ShardWriter

SLOW = 64_000_000  # bit/s: 8 shards of 1 MiB a second


def test_redis_losing_everything_in_the_middle_costs_no_verified_byte(fleet: Fleet) -> None:
    nodes = ["n1", "n2"]
    fleet.start_all(nodes, gcs_rate=SLOW, download_rate=SLOW)
    payload = fleet.payload({"a": 24 * MB})
    job = fleet.submit(payload, nodes)
    fleet.wait_held(job, "n1", 3)
    fleet.wait_held(job, "n2", 3)
    watched = {name: Fetches(agent, job) for name, agent in fleet.agents.items()}
    fleet.forget_everything()
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    for name, fetches in watched.items():
        assert len(fetches.verified_before) >= 3
        assert not fetches.again, f"{name} fetched shards that it had verified"
    # What moved when Redis forgot was not verified: each such shard may move once more, and may leave the bucket again.
    in_flight = sum(a.config.download_slots + a.config.gcs_slots for a in fleet.agents.values()) * MB
    assert fleet.fetched(job) <= len(nodes) * payload.layout.size + in_flight
    assert fleet.fetched_from_gcs(job) <= payload.layout.size + in_flight


class Fetches:
    """Watches an agent from now on: the shards of a job that it has verified, and those it fetches all the same."""

    def __init__(self, agent: Agent, job: str) -> None:
        local = agent.book.get(job)
        assert local is not None
        store = local.store
        self.again: set[int] = set()
        self._mark, self._writer = store.mark_verified, store.writer
        store.mark_verified, store.writer = self._marked, self._opened  # type: ignore[method-assign]
        self.verified_before = set(store.verified)
        self._verified = set(self.verified_before)

    def _marked(self, shard: int, crc: int) -> None:
        self._mark(shard, crc)
        self._verified.add(shard)

    def _opened(self, shard: int, offset: int = 0) -> ShardWriter:
        """Every byte that is fetched goes through a writer."""
        if shard in self._verified:
            self.again.add(shard)
        return self._writer(shard, offset)


def test_redis_out_of_reach_stops_no_transfer_and_loses_no_shard(fleet: Fleet) -> None:
    fleet.start_all(["n1"], gcs_rate=SLOW // 4, gcs_slots=4)  # what is under way lasts for two seconds
    payload = fleet.payload({"a": 12 * MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_held(job, "n1", 3)
    agent = fleet.agents["n1"]
    pause_calls(fleet, 3)
    before = agent.bucket_intake.total
    wait_until(lambda: agent.bucket_intake.total > before, 2.5, "bytes to come while Redis answers nobody")
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    assert fleet.fetched(job) == payload.layout.size


def pause_calls(fleet: Fleet, seconds: float) -> None:
    """Redis answers nobody for a while."""
    fleet.redis.client_pause(int(seconds * 1000))


def test_a_cancel_stops_the_movers_and_deletes_the_parts(fleet: Fleet) -> None:
    nodes = ["n1", "n2"]
    fleet.start_all(nodes, gcs_rate=8_000_000, download_rate=8_000_000)
    payload = fleet.payload({"a": 32 * MB}, shard_size=8 * MB)
    job = fleet.submit(payload, nodes)
    wait_until(lambda: fleet.agents["n1"].bucket_intake.total + fleet.agents["n2"].bucket_intake.total > MB // 2)
    fleet.scheduler.cancel(job, "changed my mind")
    folders = [fleet.root / node / STATE_DIR / "jobs" / job for node in nodes]
    wait_until(lambda: not any(folder.exists() for folder in folders), 60, "the parts to go")
    wait_until(lambda: not any(agent.drain_loop.held() for agent in fleet.agents.values()), 60, "the movers to stop")
    # No transfer ran to its end: a shard takes eight seconds.
    assert all(agent.bucket_intake.total + agent.intake.total < 8 * MB for agent in fleet.agents.values())
    assert not any((fleet.root / node / "models/m1/a").exists() for node in nodes)


def test_a_purge_deletes_the_files_and_leaves_the_node_usable(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    payload = fleet.payload({"a": 2 * MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_state(job, "complete")
    fleet.scheduler.order("n1", {"op": "purge", "job": job, "signature": SIGNER.sign_purge(job, "n1")})
    wait_until(lambda: not (fleet.root / "n1/models/m1/a").exists())
    wait_until(lambda: not (fleet.root / "n1" / STATE_DIR / "jobs" / job).exists())
    again = fleet.submit(payload, ["n1"])
    fleet.wait_state(again, "complete")
    fleet.check(again, payload)


def test_an_object_overwritten_in_the_middle_fails_the_job_with_that_reason(fleet: Fleet) -> None:
    fleet.start_all(["n1"], gcs_rate=SLOW)
    payload = fleet.payload({"a": 16 * MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_held(job, "n1", 2)
    origin = payload.layout.objects[0]
    fleet.gcs.put(BUCKET, origin.name, b"x" * origin.size)
    fleet.wait_state(job, "failed")
    view = fleet.scheduler.job(job)
    assert view is not None
    assert "generation" in view.reason
    assert origin.name in view.reason


def test_a_node_whose_disk_cannot_take_the_job_says_so_and_the_others_go_on(fleet: Fleet) -> None:
    fleet.start("n1")
    blocked = fleet.root / "n2"
    blocked.mkdir()
    (blocked / "models").write_text("a file where the destination should be")
    fleet.start("n2")
    payload = fleet.payload({"a": 4 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    wait_until(lambda: any(n.state == "failed" for n in fleet.scheduler.job_nodes(job)), what="n2 to give up")
    told = next(event for event in fleet.scheduler.events("0") if event.kind == "node_failed")
    assert told.fields["node"] == "n2"
    assert str(blocked) in told.fields["why"]
    wait_until(lambda: (fleet.root / "n1/models/m1/a").exists())
    payload.check(fleet.root / "n1", "models/m1")


def test_a_shard_server_that_dies_is_started_again_on_its_port(fleet: Fleet) -> None:
    agent = fleet.start("n1")
    fleet.start("n2", download_rate=SLOW)
    wait_until(lambda: all(a.session.epoch is not None for a in fleet.agents.values()))
    payload = fleet.payload({"a": 16 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_held(job, "n2", 3)
    port, pid = agent.server.port, agent.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: agent.server.pid not in (None, pid), what="another shard server")
    assert agent.server.wait_ready(60)
    assert agent.server.port == port
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)


def test_two_agents_cannot_share_a_data_directory(fleet: Fleet) -> None:
    fleet.start("n1")
    with pytest.raises(Exception, match="another agent uses"):
        fleet.start("n1")


def test_damaged_bytes_found_by_verify_are_fetched_again(fleet: Fleet) -> None:
    fleet.start_all(["n1", "n2"])
    payload = fleet.payload({"a": 6 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    path = fleet.root / "n1/models/m1/a"
    with path.open("r+b") as file:
        file.seek(2 * MB + 5)
        file.write(b"damage")
    fleet.scheduler.order("n1", {"op": "verify", "job": job})
    right = payload.contents["a"]
    wait_until(lambda: path.exists() and path.read_bytes() == right, what="the file to be whole again")
    fleet.check(job, payload)


def test_leaving_frees_leases_and_counts_no_copies(fleet: Fleet) -> None:
    fleet.start_all(["n1", "n2"], gcs_rate=SLOW, download_rate=SLOW)
    payload = fleet.payload({"a": 24 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_held(job, "n1", 2)
    fleet.stop("n1")
    states = {node.name: node.state for node in fleet.scheduler.nodes()}
    assert states["n1"] == "left"
    assert not [lease for lease in fleet.scheduler.leases() if "n1" in (lease.node, lease.source)]
    assert fleet.held(job, "n1") == 0
    fleet.start("n1", download_rate=SLOW)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)


def test_an_agent_waits_for_a_redis_that_is_not_there_yet(fleet: Fleet) -> None:
    fleet.redis.flushall()  # no enrolment key is known
    agent = fleet.start("n1")
    time.sleep(0.5)
    assert agent.session.epoch is None
    fleet.allow()
    wait_until(lambda: agent.session.epoch is not None, 60)
