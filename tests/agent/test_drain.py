"""Agents in this process move whole jobs between themselves and the bucket."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.agent.fleet import MB, Fleet, wait_until
from transfers.dataplane.names import STATE_DIR
from transfers.scheduler.types import NextReply, Report

NODES = ("n1", "n2", "n3")


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_every_node_gets_every_byte_and_the_bucket_is_read_once(fleet: Fleet, topology: str) -> None:
    payload = fleet.payload({"a.bin": 5 * MB + 17, "b/c.bin": 3 * MB, "empty": 0, "tiny": 5})
    fleet.start_all(NODES)
    job = fleet.submit(payload, NODES, topology)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    fleet.assert_read_once(job, payload)
    more = fleet.fetched(job) - len(NODES) * payload.layout.size
    assert 0 <= more <= fleet.in_vain(job, payload)


def test_lost_nudges_cost_only_a_heartbeat(fleet: Fleet) -> None:
    """Nobody is nudged in these tests: the answers to heartbeats start the drain."""
    fleet.start_all(["n1"])
    payload = fleet.payload({"a": MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_state(job, "complete")  # a drain that nobody started would not end at all


def test_a_second_nudge_does_nothing(fleet: Fleet) -> None:
    fleet.start_all(["n1"], gcs_rate=1000)
    payload = fleet.payload({"a": 3 * MB})
    job = fleet.submit(payload, ["n1"])
    wait_until(lambda: fleet.agents["n1"].drain_loop.active)
    assert fleet.agents["n1"].drain(job) == "draining already"
    assert fleet.agents["n1"].drain("f" * 32) == "draining already"
    assert fleet.state(job) == "running"  # neither waited for the end of the first
    fleet.scheduler.order("n1", {"op": "caps", "gcs_rate": 0})
    fleet.wait_state(job, "complete")
    assert fleet.fetched(job) == payload.layout.size


def test_a_nudge_about_a_job_that_is_not_ours_ends_at_once(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    assert fleet.agents["n1"].drain("0" * 32) == "complete"
    assert not (fleet.root / "n1" / STATE_DIR / "jobs" / ("0" * 32)).exists()


def test_two_jobs_run_on_the_same_nodes_at_once(fleet: Fleet) -> None:
    fleet.start_all(NODES)
    payloads = [fleet.payload({"a": 3 * MB}, seed=seed) for seed in (1, 2)]
    first = fleet.submit(payloads[0], NODES)
    fleet.wait_state(first, "complete")
    fleet.check(first, payloads[0])
    jobs = [fleet.submit(fleet.payload({f"f{seed}": 3 * MB}, seed=seed), NODES) for seed in (3, 4)]
    for job in jobs:
        fleet.wait_state(job, "complete")


def test_a_node_restarted_with_half_a_job_fetches_the_other_half(fleet: Fleet) -> None:
    fleet.start_all(["n1"], gcs_rate=64_000_000)
    payload = fleet.payload({"a": 16 * MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_held(job, "n1", 4)
    before = fleet.fetched(job)
    fleet.stop("n1")
    fleet.start("n1")
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    again = before + fleet.fetched(job) - payload.layout.size
    assert again <= MB  # the shard that was moving when it stopped, at most


def test_what_is_in_place_already_is_not_moved(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    payload = fleet.payload({"a": 3 * MB})
    first = fleet.submit(payload, ["n1"])
    fleet.wait_state(first, "complete")
    second = fleet.submit(payload, ["n1"])
    fleet.wait_state(second, "complete")
    assert fleet.fetched(second) == 0


def test_a_node_whose_last_shard_is_here_and_not_yet_told_is_not_done_before_it_is(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.start_all(["n1"], gcs_rate=32_000_000)
    scheduler = fleet.agents["n1"].drain_loop._scheduler
    payload = fleet.payload({"a": 4 * MB})
    told = 0

    def slow_answer(node: str, epoch: int, reports: Sequence[Report] = (), *rest: Any) -> NextReply:
        nonlocal told
        before, told = told, told + sum(report.outcome == "ok" for report in reports)
        last_but_one = payload.layout.shard_count - 1
        if before == last_but_one < told:
            time.sleep(0.5)  # it is here, and not told
        reply = real(node, epoch, reports, *rest)
        if before < last_but_one <= told:
            time.sleep(1.0)  # meanwhile the last one comes
        return reply

    def finish(job: str, *rest: Any) -> bool:
        held_at_its_end.append(fleet.scheduler.job_nodes(job)[0].held)
        return real_finish(job, *rest)

    real, real_finish, held_at_its_end = scheduler.next, scheduler.finish, list[int]()
    monkeypatch.setattr(scheduler, "next", slow_answer)
    monkeypatch.setattr(scheduler, "finish", finish)
    job = fleet.submit(payload, ["n1"])
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    assert held_at_its_end == [payload.layout.shard_count]


def test_handover_gaps_are_traced(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    payload = fleet.payload({"a": 12 * MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_state(job, "complete")
    local = fleet.agents["n1"].book.get(job)
    assert local is not None
    summary = local.gaps.summary()
    assert summary.count >= 8
    assert 0 < summary.p50 < 1000
