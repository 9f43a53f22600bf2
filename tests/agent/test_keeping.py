"""What nodes keep: several jobs within a quota, shared content, pins; and what they tell of it."""

from __future__ import annotations

import pytest

from nodes import inventory
from nodes.inventory import Inventory
from tests.agent.fleet import MB, Fleet, wait_until
from tests.agent.test_integrity import node_is

QUOTA = 10 * MB


def told(fleet: Fleet, node: str) -> Inventory | None:
    return inventory.read_all(fleet.redis, "main").get(node)


def tells(fleet: Fleet, node: str, *jobs: str) -> bool:
    found = told(fleet, node)
    return found is not None and set(found.jobs) == set(jobs) and all(kept.whole for kept in found.jobs.values())


def distribute(fleet: Fleet, number: int, size: int = 4 * MB) -> str:
    """A job of its own content in a folder of its own, done on every node."""
    payload = fleet.payload({"a": size}, seed=number)
    job = fleet.submit(payload, list(fleet.agents), destination=f"models/d{number}")
    fleet.wait_state(job, "complete")
    for node in fleet.agents:
        payload.check(fleet.root / node, f"models/d{number}")
    return job


def test_a_job_that_ended_makes_room_and_everybody_is_told(fleet: Fleet) -> None:
    fleet.start("n1", quota=QUOTA)
    fleet.start_all(["n2"])
    jobs = [distribute(fleet, number) for number in range(3)]
    wait_until(lambda: tells(fleet, "n1", *jobs[1:]), what="n1 to tell what it has")
    wait_until(lambda: tells(fleet, "n2", *jobs), what="n2 to tell what it has")
    assert not (fleet.root / "n1/models/d0").exists()
    found = told(fleet, "n1")
    assert found is not None
    assert (found.quota, found.used, found.evictable) == (QUOTA, 8 * MB, 8 * MB)
    assert found.evicted == (jobs[0],)
    assert found.eviction_order() == jobs[1:]
    assert 0 < found.jobs[jobs[1]].wanted_at < found.jobs[jobs[2]].wanted_at
    unlimited = told(fleet, "n2")
    assert unlimited is not None and unlimited.eviction_order() == []
    assert found.room(disk_free=100 * MB) == 10 * MB
    # The scheduler does not send anybody there, nor wants the job back on it.
    assert [each.node for each in fleet.scheduler.job_nodes(jobs[0])] == ["n2"]
    assert fleet.held(jobs[0], "n1") == 0
    assert fleet.state(jobs[0]) == "complete"


def test_what_was_evicted_comes_back_when_it_is_wanted_again(fleet: Fleet) -> None:
    fleet.start_all(["n1"], quota=QUOTA)
    jobs = [distribute(fleet, number) for number in range(3)]
    fleet.scheduler.forget(jobs[0])
    fleet.create(jobs[0])  # as a retry does
    fleet.wait_state(jobs[0], "complete")
    assert (fleet.root / "n1/models/d0/a").exists()
    wait_until(lambda: tells(fleet, "n1", jobs[0], jobs[2]), what="n1 to tell what it has")


def test_pinned_jobs_stay_and_a_job_that_then_does_not_fit_says_why(fleet: Fleet) -> None:
    fleet.start_all(["n1"], quota=QUOTA)
    first, second = distribute(fleet, 0), distribute(fleet, 1)
    for job in (first, second):
        fleet.scheduler.order("n1", {"op": "pin", "job": job})
    wait_until(lambda: pins(fleet) == {first: True, second: True}, what="the pins to be told")
    found = told(fleet, "n1")
    assert found is not None and found.eviction_order() == []
    payload = fleet.payload({"a": 4 * MB}, seed=9)
    job = fleet.submit(payload, ["n1"], destination="models/d9")
    fleet.wait_state(job, "failed")
    why = next(event.fields["why"] for event in fleet.scheduler.events("0") if event.kind == "node_failed")
    assert "pinned jobs hold 8.39 MB" in why and "the quota of this node is 10.49 MB" in why
    fleet.scheduler.order("n1", {"op": "unpin", "job": first})
    wait_until(lambda: pins(fleet).get(first) is False, what="the pin to go")
    distribute(fleet, 3)
    assert not (fleet.root / "n1/models/d0").exists() and (fleet.root / "n1/models/d1/a").exists()


def pins(fleet: Fleet) -> dict[str, bool]:
    found = told(fleet, "n1")
    return {job: kept.pinned for job, kept in found.jobs.items() if kept.size} if found else {}


def test_an_open_job_is_not_evicted_though_it_is_done_here(fleet: Fleet) -> None:
    fleet.start("n1", quota=QUOTA)
    fleet.start_all(["n2"], gcs_rate=1000, download_rate=1000, gcs_slots=0)
    payload = fleet.payload({"a": 8 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    wait_until(lambda: node_is(fleet, job, "n1", "done"), what="n1 to be done")
    other = fleet.submit(fleet.payload({"a": 4 * MB}, seed=2), ["n1"], destination="models/other")
    fleet.wait_state(other, "failed")
    why = next(event.fields["why"] for event in fleet.scheduler.events("0") if event.kind == "node_failed")
    assert "open ones 8.39 MB" in why
    payload.check(fleet.root / "n1", "models/m1")


def test_a_second_job_with_the_same_content_moves_no_byte(fleet: Fleet) -> None:
    fleet.start_all(["n1", "n2"], quota=QUOTA)
    payload = fleet.payload({"a": 6 * MB, "sub/b": MB})
    first = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(first, "complete")
    second = fleet.submit(payload, ["n1", "n2"], destination="models/again")
    fleet.wait_state(second, "complete")
    for node in ("n1", "n2"):
        payload.check(fleet.root / node, "models/again")
    assert fleet.fetched(second) == 0
    wait_until(lambda: tells(fleet, "n1", first, second), what="n1 to tell what it has")
    found = told(fleet, "n1")
    assert found is not None and found.used == 7 * MB


def test_equal_shards_of_a_new_version_move_only_out_of_the_bucket(fleet: Fleet) -> None:
    """Once a shard's digest is known, by the one node that read it, all others take it from the old version."""
    fleet.start_all(["n1", "n2", "n3"])
    old = fleet.payload({"a": 8 * MB})
    fleet.wait_state(fleet.submit(old, list(fleet.agents), destination="models/v1"), "complete")
    changed = bytearray(old.contents["a"])
    changed[5 * MB + 9] ^= 1
    new = fleet.put({"a": bytes(changed)})
    job = fleet.submit(new, list(fleet.agents), destination="models/v2")
    fleet.wait_state(job, "complete")
    for node in fleet.agents:
        new.check(fleet.root / node, "models/v2")
    view = fleet.scheduler.job(job)
    assert view is not None
    assert view.bytes_gcs == 8 * MB
    assert view.bytes_peer == 2 * MB  # the one shard that differs, to the two nodes that did not read it


@pytest.mark.parametrize("reuse", ["copy", "off"])
def test_how_content_is_shared_is_a_setting(fleet: Fleet, reuse: str) -> None:
    fleet.start_all(["n1"], reuse=reuse)
    payload = fleet.payload({"a": 2 * MB})
    for destination in ("models/m1", "models/m2"):
        job = fleet.submit(payload, ["n1"], destination=destination)
        fleet.wait_state(job, "complete")
        payload.check(fleet.root / "n1", destination)
    assert fleet.fetched(job) == (2 * MB if reuse == "off" else 0)
    assert (fleet.root / "n1/models/m1/a").stat().st_nlink == 1


def test_caps_by_order_are_told(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    fleet.scheduler.order("n1", {"op": "caps", "upload_rate": 5_000_000})

    def known() -> bool:
        found = told(fleet, "n1")
        return found is not None and found.caps == {"upload_rate": 5_000_000}

    wait_until(known, what="the caps to be told")
