"""What binds a job now, and why a node is slower than the others: each by what can be seen of it."""

from __future__ import annotations

from typing import Any

import pytest

from transfers.live.limits import Limit, judge
from transfers.live.picture import NodePicture
from transfers.live.reasons import reason
from transfers.scheduler.types import GCS, JobView, LeaseView, NodeView

MB = 1e6


def job(**changes: Any) -> JobView:
    values: dict[str, Any] = {
        "job": "a",
        "state": "running",
        "topology": "mesh",
        "shard_count": 100,
        "shard_size": 1000,
        "size": 100_000,
        "priority": 0,
        "gcs_slots": 8,
        "gcs_used": 0,
        "nodes": 10,
        "nodes_done": 0,
        "nodes_failed": 0,
        "shards_held": 0,
        "bytes_gcs": 0,
        "bytes_peer": 0,
        "missing": 0,
    }
    return JobView(**values | changes)


def node(name: str, **changes: Any) -> NodeView:
    values: dict[str, Any] = {
        "name": name,
        "state": "live",
        "address": "",
        "epoch": 1,
        "labels": {},
        "seen": 10_000,
        "disk_total": 10**9,
        "disk_free": 10**9,
        "rate_up": 0.0,
        "rate_down": 100 * MB,
        "rate_gcs": 0.0,
        "uploads": 0,
        "downloads": 1,
        "gcs_reads": 0,
        "upload_slots": 2,
        "download_slots": 2,
        "gcs_slots": 1,
    }
    return NodeView(**values | changes)


def lease(number: int, source: str = "n1", amount: int = 500) -> LeaseView:
    return LeaseView(str(number), "a", number, f"n{number}", source, 0, 0, amount)


def limit(view: JobView, states: list[tuple[str, float]], leases: list[LeaseView] | None = None, **of: Any) -> Limit:
    nodes = {f"n{at}": NodePicture(f"n{at}", state, 40 + at, rate=rate) for at, (state, rate) in enumerate(states)}
    fleet = {name: node(name, rate_down=each.rate, **of) for name, each in nodes.items()}
    return judge(view, "running", nodes, leases or [], fleet, 300 * MB, 0.0)


@pytest.mark.parametrize(
    ("view", "states", "leases", "binds", "why"),
    [
        (job(), [("moving", 100 * MB)] * 10, [], "NIC", "100.0 MB/s"),
        (job(), [("done", 0.0)] * 9 + [("moving", 5 * MB)], [], "straggler", "n9 is last with 49 %"),
        (
            job(missing=60, gcs_used=8),
            [("moving", 100 * MB)] + [("moving", 10 * MB)] * 9,
            [],
            "bucket",
            "60 shards not yet out of the bucket; 8 of 8 reads under way",
        ),
        (
            job(),
            [("moving", 100 * MB)] + [("moving", 10 * MB)] * 9,
            [lease(at, amount=1000) for at in range(6)] + [lease(7)],
            "disk",
            "6 of 7 transfers have all their bytes",
        ),
        (job(), [("moving", 100 * MB)] * 2 + [("ready", 0.0)] * 8, [], "scheduler", "8 of 10 nodes have nothing to do"),
        (job(), [("moving", 100 * MB)] * 3 + [("waiting", 0.0)] * 7, [], "NIC", "7 of 10 nodes wait for a sender"),
        (job(), [("moving", 100 * MB)] + [("moving", 10 * MB)] * 9, [], "", "below the best rate"),
    ],
)
def test_what_binds_is_named(
    view: JobView, states: list[tuple[str, float]], leases: list[LeaseView], binds: str, why: str
) -> None:
    found = limit(view, states, leases)
    assert found.binds == binds
    assert why in found.why


def test_the_bound_is_the_best_rate_of_a_node_for_each_that_needs_something() -> None:
    found = limit(job(), [("moving", 100 * MB)] * 3 + [("moving", 50 * MB)] * 3 + [("done", 0.0)] * 4)
    assert (found.node, found.bound, found.rate) == (100 * MB, 600 * MB, 300 * MB)


def test_the_best_rate_is_kept_while_rates_fall() -> None:
    before = 200 * MB
    nodes = {"n0": NodePicture("n0", "moving", 1, rate=10 * MB)}
    found = judge(job(), "running", nodes, [], {"n0": node("n0", rate_down=10 * MB)}, 10 * MB, before)
    assert before * 0.99 < found.node < before


def test_nothing_binds_a_job_that_does_not_run() -> None:
    nodes = {"n0": NodePicture("n0", "moving", 1, rate=10 * MB)}
    assert judge(job(), "paused", nodes, [], {"n0": node("n0")}, 0.0, 0.0).bound == 0


def test_a_slow_link_of_a_chain_is_named() -> None:
    nodes = {f"n{at}": NodePicture(f"n{at}", "moving", 40, position=at, rate=10 * MB) for at in range(6)}
    fleet = {name: node(name, rate_down=10 * MB, slow=name == "n2") for name in nodes} | {
        "other": node("other", rate_down=100 * MB)
    }
    found = judge(job(topology="pipeline"), "running", nodes, [lease(3, source="n2")], fleet, 60 * MB, 100 * MB)
    assert found.binds == "straggler"
    assert found.why.startswith("n2 is slow")


@pytest.mark.parametrize(
    ("changes", "sources", "rate", "said"),
    [
        ({"seen": 1000}, ["n1"], 100, "not heard of for 9 s"),
        ({"state": "draining"}, [], 0, "draining"),
        ({"disk_free": 1000}, ["n1"], 100, "its disk has 1.0 kB free and 60.0 kB are to come"),
        ({"slow": True}, ["n1"], 100, "slow: its last transfers"),
        ({}, ["lame"], 100, "reads from lame, which is slow"),
        ({"barred": True}, ["n1"], 100, "sent damaged bytes"),
        ({}, [GCS], 10, "takes 10 B/s from the bucket, the median is 100 B/s"),
        ({}, ["n1"], 90, ""),
    ],
)
def test_why_a_node_is_slow_is_said(changes: dict[str, Any], sources: list[str], rate: float, said: str) -> None:
    mine = node("n0", **changes)
    fleet = {"n0": mine, "n1": node("n1"), "lame": node("lame", slow=True)}
    found = reason(rate, 40, 100, job(), mine, sources, fleet, 10_000)
    assert found.startswith(said) if said else found == ""
