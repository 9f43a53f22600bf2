"""Agents in this process, each given two shards at once: the second follows the first from the same source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.agent.fleet import MB, Fleet, wait_until
from tests.scheduler.followed import one_copy_is_plenty
from transfers.dataplane.shardstate import VERIFIED
from transfers.scheduler.types import Assignment, NextReply, Report

SLOTS = {"download_slots": 2, "upload_slots": 2}


@pytest.fixture(autouse=True)
def plenty() -> Iterator[None]:
    with one_copy_is_plenty():
        yield


class Told:
    """What the scheduler was told by an agent, and gave it, call by call."""

    def __init__(self, fleet: Fleet, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reports: list[tuple[Report, ...]] = []
        self.given: list[Assignment] = []
        scheduler = fleet.agents[name].session.scheduler
        real = scheduler.next

        def heard(node: str, epoch: int, reports: Sequence[Report] = (), *rest: Any) -> NextReply:
            reply = real(node, epoch, reports, *rest)
            self.reports.append(tuple(reports))
            self.given += reply.assignments
            return reply

        monkeypatch.setattr(scheduler, "next", heard)


def started(fleet: Fleet, shards: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[str, Any, Told]:
    """n1 has a payload of so many shards, and n2 begins to take it from there."""
    fleet.start_all(["n1"], **SLOTS)
    payload = fleet.payload({"a": shards * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_held(job, "n1", shards)
    fleet.start_all(["n2"], **SLOTS | options)
    return job, payload, Told(fleet, "n2", monkeypatch)


def test_two_shards_are_told_in_one_call(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    job, payload, told = started(fleet, 48, monkeypatch)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    follow = sum(bool(each.follows) for each in told.given)
    assert follow > 10
    assert len(told.reports) < 48 - follow / 2
    assert fleet.fetched(job) == 2 * payload.layout.size


def test_what_is_told_late_is_told_within_two_seconds(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 2 Mbit/s a shard takes four seconds: the first is not kept back until the second is here."""
    slow = {"download_rate": 2_000_000, "download_slots": 1}
    job, payload, told = started(fleet, 16, monkeypatch, **slow)

    def halves() -> list[str]:
        """Leases of which the first was told, and what follows it was not."""
        reported = {report.lease for reports in told.reports for report in reports}
        return [each.lease for each in told.given if each.follows in reported and each.lease not in reported]

    wait_until(lambda: bool(halves()), what="a first that is told alone")
    assert halves()[0] in {transfer.lease for transfer in fleet.agents["n2"].drain_loop.held()}
    fleet.scheduler.order("n2", {"op": "caps", "download_rate": 0})
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)


def test_a_source_that_dies_takes_what_follows_along(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    job, payload, told = started(fleet, 24, monkeypatch, download_rate=40_000_000)
    fleet.wait_held(job, "n2", 3)
    assert any(each.follows for each in told.given)
    fleet.stop("n1")
    fleet.wait_state(job, "complete")  # n2 has the rest from the bucket
    store = fleet.agents["n2"].book.get(job).store  # type: ignore[union-attr]
    assert all(store.state.status(shard) == VERIFIED for shard in range(24))
    payload.check(fleet.root / "n2", "models/m1")


def test_what_was_kept_back_is_told_by_a_node_that_stops(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    job, _, _ = started(fleet, 16, monkeypatch, download_rate=8_000_000)
    store = fleet.agents["n2"].book.get(job).store  # type: ignore[union-attr]
    drain = fleet.agents["n2"].drain_loop
    wait_until(lambda: drain._ledger.has_news and not drain._wants_call(), what="news that is kept back")
    fleet.stop("n2")
    done = [event.fields for event in fleet.scheduler.events("0") if event.kind == "done"]
    verified = sum(store.state.status(shard) == VERIFIED for shard in range(16))
    assert sum(each["node"] == "n2" for each in done) == verified > 0
