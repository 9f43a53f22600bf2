"""Somebody who can write to Redis changes what a job is: its nodes refuse it, and say why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.agent.fleet import MB, SIGNER, Fleet, wait_until
from transfers.dataplane.digest import crc32c
from transfers.signing import Signer


def failure(fleet: Fleet, job: str) -> str:
    """Why the node gave up, as the record is told."""
    fleet.wait_state(job, "failed")
    return next(e.fields["why"] for e in fleet.scheduler.events("0") if e.kind == "node_failed")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan.replace('"models/m1"', '"models/m2"'), "does not carry the signature"),
        (lambda plan: Signer("an intruder's").sign(plan.partition("\n")[2]), "does not carry the signature"),
        (lambda plan: plan.partition("\n")[2], "is not signed"),
    ],
    ids=["changed", "signed by another", "unsigned"],
)
def test_a_plan_that_was_changed_in_redis_is_refused_before_anything_is_written(
    fleet: Fleet, change: Callable[[str], str], said: str
) -> None:
    payload = fleet.payload({"a": MB})
    job = fleet.submit(payload, ["n1"])
    key = f"{{fdist:main}}:j:{job}:plan"
    fleet.redis.set(key, change(fleet.redis.get(key).decode()))  # type: ignore[union-attr]
    agent = fleet.start("n1")
    why = failure(fleet, job)
    assert said in why and job in why
    assert [path.name for path in agent.config.data_dir.iterdir()] == [".fdist"]
    assert agent.store.jobs() == []


def test_the_plan_of_another_job_is_refused(fleet: Fleet) -> None:
    payload = fleet.payload({"a": MB})
    first, second = fleet.submit(payload, []), fleet.submit(payload, ["n1"])
    prefix = "{fdist:main}:j:"
    fleet.redis.set(f"{prefix}{second}:plan", fleet.redis.get(f"{prefix}{first}:plan"))  # type: ignore[arg-type]
    fleet.start("n1")
    assert f"for job {first}, and job {second} was asked" in failure(fleet, second)


def test_a_digest_that_is_not_the_signed_one_is_refused(fleet: Fleet) -> None:
    payload = fleet.payload({"a": 2 * MB})
    data = payload.contents["a"]
    digests = [crc32c(data[:MB]), crc32c(data[MB:])]
    job = fleet.submit(payload, ["n1"], more={"digests": digests})
    fleet.start_all(["n1"])
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    other = fleet.submit(payload, ["n1", "n2"], more={"digests": digests}, destination="models/m2")
    fleet.redis.hset(f"{{fdist:main}}:j:{other}:digest", "1", str(digests[1] ^ 1))
    fleet.start("n2")
    wait_until(lambda: any(e.kind == "node_failed" for e in fleet.scheduler.events("0")), what="n2 to refuse")
    why = next(e.fields["why"] for e in fleet.scheduler.events("0") if e.kind == "node_failed")
    assert f"{digests[1]:08x}" in why and "changed in Redis" in why


def test_files_are_removed_by_order_of_the_coordinator_alone(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """A signature of another node's order, of another job's or of somebody else is none."""
    payload = fleet.payload({"a": MB})
    fleet.start_all(["n1", "n2"])
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    wrong = (
        {},
        {"signature": "nonsense"},
        {"signature": SIGNER.sign_purge(job, "n2")},
        {"signature": SIGNER.sign_purge("0" * 32, "n1")},
        {"signature": Signer("an intruder's").sign_purge(job, "n1")},
    )
    for more in wrong:
        fleet.scheduler.order("n1", {"op": "purge", "job": job, **more})
    wait_until(lambda: caplog.text.count("is not the coordinator's") == len(wrong), what="each to be refused")
    fleet.check(job, payload)
