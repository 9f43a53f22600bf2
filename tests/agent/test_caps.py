"""Caps that are changed while bytes move: they count at once, for all that moves, and over restarts."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from nodes.agent.agent import Agent
from tests.agent.fleet import MB, Fleet, wait_until
from transfers.dataplane.peer import PeerClient

SLOW = 8_000_000  # bit/s: a shard of 1 MiB a second


def order(fleet: Fleet, node: str, **caps: int | None) -> None:
    fleet.scheduler.order(node, {"op": "caps", **caps})


def wait_caps(agent: Agent, **caps: int) -> None:
    wait_until(lambda: caps.items() <= agent.caps.values().items(), what=f"the caps {caps}")


def test_a_cap_on_the_bucket_is_lifted_under_a_read_that_waits_for_it(fleet: Fleet) -> None:
    agent = fleet.start("n1", gcs_rate=1000)  # a shard would take hours
    payload = fleet.payload({"a": 4 * MB})
    job = fleet.submit(payload, ["n1"])
    wait_until(lambda: bool(agent.drain_loop.held()), what="a read to begin")
    order(fleet, "n1", gcs_rate=0)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    assert fleet.fetched(job) == payload.layout.size  # the read went on; it was not begun again


def test_a_cap_on_receiving_is_lifted_under_a_transfer_from_a_peer(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    payload = fleet.payload({"a": 4 * MB})
    first = fleet.submit(payload, ["n1"])
    fleet.wait_state(first, "complete")
    agent = fleet.start("n2", download_rate=1000)
    job = fleet.submit(payload, ["n1", "n2"])
    wait_until(lambda: bool(agent.drain_loop.held()), what="a transfer to begin")
    order(fleet, "n2", download_rate=0)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)


def test_a_cap_on_sending_reaches_the_shard_server_and_the_one_that_follows_it(fleet: Fleet) -> None:
    agent = fleet.start("n1")
    fleet.start_all(["n2"])
    order(fleet, "n1", upload_rate=SLOW, upload_slots=5)
    wait_until(lambda: agent.server.ask_stats().get("rate") == SLOW, what="the server to take the cap")
    pid = agent.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: agent.server.pid not in (None, pid) and agent.server.wait_ready(0.1), what="another server")
    wait_until(lambda: agent.server.ask_stats().get("rate") == SLOW, what="the new server to have the cap")


def test_more_download_slots_are_used_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    running: set[int] = set()
    most: list[int] = []
    read = PeerClient.read_shard

    def watched(self: PeerClient, address: str, job: str, shard: int, *args: Any, **options: Any) -> None:
        running.add(shard)
        most.append(len(running))
        try:
            read(self, address, job, shard, *args, **options)
        finally:
            running.discard(shard)

    monkeypatch.setattr(PeerClient, "read_shard", watched)
    fleet.start_all(["n1"], upload_slots=8)
    payload = fleet.payload({"a": 12 * MB})
    fleet.wait_state(fleet.submit(payload, ["n1"]), "complete")
    agent = fleet.start("n2", download_slots=1, gcs_slots=0, download_rate=SLOW)
    job = fleet.submit(payload, ["n1", "n2"])
    wait_until(lambda: bool(running), what="a transfer to begin")
    assert max(most) == 1
    fleet.scheduler.set_caps("n2", download_slots=5)
    order(fleet, "n2", download_slots=5)
    wait_until(lambda: max(most) >= 4, what="four transfers at once, and one that waits for its turn")
    order(fleet, "n2", download_rate=0)
    fleet.wait_state(job, "complete")
    assert agent.caps["download_slots"] == 5


def test_caps_outlive_the_agent_and_go_back_to_its_settings(fleet: Fleet) -> None:
    fleet.start_all(["n1"], upload_rate=5_000_000)
    agent = fleet.agents["n1"]
    order(fleet, "n1", upload_rate=SLOW, gcs_rate=0)
    wait_caps(agent, upload_rate=SLOW)
    fleet.stop("n1")
    fleet.start_all(["n1"], upload_rate=5_000_000)
    agent = fleet.agents["n1"]
    assert agent.caps.ordered() == {"upload_rate": SLOW, "gcs_rate": 0}
    wait_until(lambda: agent.server.ask_stats().get("rate") == SLOW, what="the cap at the start")
    order(fleet, "n1", upload_rate=None)
    wait_caps(agent, upload_rate=5_000_000)
    assert agent.caps.ordered() == {"gcs_rate": 0}


@pytest.mark.parametrize(
    "caps", [{"upload_rate": -1}, {"gcs_rate": "fast"}, {"download_slots": 0}, {"disk": 5}, {"upload_rate": True}]
)
def test_an_order_that_cannot_be_changes_nothing(fleet: Fleet, caps: Mapping[str, Any]) -> None:
    agent = fleet.start("n1")
    agent.caps.obey({"op": "caps", "download_rate": SLOW, **caps})
    assert agent.caps.ordered() == {}
