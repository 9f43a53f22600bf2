"""The command line against a site that really answers: what it prints, and with which code it ends."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from django.contrib.auth.models import AbstractUser
from knox.models import AuthToken

from nodes import inventory
from nodes.inventory import Inventory, Kept
from tests.cli.conftest import Run
from tests.site_fixtures import Fleet, fold
from transfers.links import Links
from transfers.models import Job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("logged_in")]


@pytest.fixture
def two(fleet: Fleet) -> Fleet:
    return fleet.add("gpu-01", labels={"zone": "a"}).add("gpu-02", labels={"zone": "b"})


def complete(fleet: Fleet, links: Links, job: str) -> None:
    fleet.announce(job)
    fleet.move(job)
    fold(links)


def test_push_starts_a_job_and_says_how_to_follow_it(run: Run, two: Fleet, payload: str) -> None:
    ran = run("push", payload, "--nodes", "zone=a", "--topology", "pipeline", "--shard-size", "1MiB", "--name", "llama")
    job = Job.objects.get()
    assert ran.code == 0
    assert ran.out == f"{job.id.hex}  3.1 MB in 2 files, 4 shards, by pipeline to 1 node\n"
    assert f"fdist watch {job.id.hex[:8]}" in ran.err
    assert (job.name, job.selector, job.shard_size) == ("llama", {"labels": {"zone": "a"}}, 2**20)


def test_push_takes_a_quorum_and_a_budget_and_refuses_one_that_cannot_suffice(
    run: Run, two: Fleet, payload: str
) -> None:
    assert run("push", payload, "--quorum", "0.5", "--bucket-budget", "1.2x").code == 0
    job = Job.objects.get()
    assert (job.quorum, job.bucket_budget) == (0.5, int(job.size * 1.2))
    refused = run("push", payload, "--bucket-budget", "1MB")
    assert refused.code == 3 and "--bucket-budget: 1.0 MB" in refused.err
    assert Job.objects.count() == 1


def test_push_with_the_same_key_gives_the_same_job(run: Run, two: Fleet, payload: str) -> None:
    first, second = (run("push", payload, "--key", "k-1", "--json").json["id"] for _ in range(2))
    assert first == second
    other = run("push", payload, "--key", "k-1", "--name", "other")
    assert other.code == 3
    assert "was used for another request" in other.err


def test_a_job_is_listed_shown_paused_resumed_and_cancelled(run: Run, two: Fleet, payload: str) -> None:
    job = run("push", payload, "--json").json["id"].replace("-", "")
    listed = run("jobs")
    assert [listed.code, job[:8] in listed.out, "running" in listed.out] == [0, True, True]
    assert [row["state"] for row in run("jobs", "--json", "--state", "running").json] == ["running"]
    assert run("jobs", "--json", "--source", "gs://other/").json == []
    shown = run("show", job[:8])
    assert (shown.code, "gpu-01" in shown.out, "0 of 2 done" in shown.out) == (0, True, True)
    assert set(run("show", job, "--json").json) == {"job", "nodes"}
    assert run("pause", job[:6]).out.startswith(f"paused {job[:8]}")
    assert run("resume", job, "--json").json["state"] == "running"
    assert run("cancel", job, "--reason", "enough", "--json").json["error"] == "enough"
    again = run("cancel", job)
    assert again.code == 6
    assert "is cancelled and cannot be cancelled" in again.err
    assert "fdist show" in again.err


def test_a_completed_job_is_watched_verified_retried_and_purged(
    run: Run, two: Fleet, links: Links, payload: str
) -> None:
    job = run("push", payload, "--json").json["id"].replace("-", "")
    complete(two, links, job)
    watched = run("watch", job[:8])
    assert watched.code == 0
    assert watched.lines[0].startswith("mesh  complete  100.0%  2 of 2 nodes")
    (line,) = run("watch", job, "--json").lines
    told = json.loads(line)
    assert (told["state"], told["part"], [node["state"] for node in told["nodes"]]) == ("complete", 1.0, ["done"] * 2)
    assert run("push", payload, "--wait", "--key", "x", "--help").code == 0
    assert run("wait", job, "--timeout", "5s").out == f"{payload} is complete\n"
    kinds = [json.loads(line)["kind"] for line in run("events", job, "--json", "--follow").lines]
    assert kinds.count("node_done") == 2
    assert run("verify", job).code == 0
    assert run("cancel", job).code == 0
    assert run("retry", job).out.startswith("retried")
    assert run("cancel", job).code == 0
    assert run("pin", job[:8]).out.startswith(f"pinned {job[:8]}")
    assert "whatever needs room" in run("show", job).out
    assert run("unpin", job, "--json").json["pinned"] is False
    assert run("purge", job, "--json").json["purged_at"]
    refused = run("pin", job)
    assert (refused.code, "there is nothing to pin" in refused.err) == (6, True)


def test_watching_a_job_that_was_cancelled_ends_with_1(run: Run, two: Fleet, payload: str) -> None:
    job = run("push", payload, "--json").json["id"]
    run("cancel", job, "--reason", "wrong weights")
    ran = run("watch", job)
    assert ran.code == 1
    assert "wrong weights" in ran.out
    assert run("wait", job).code == 1


def test_plan_tells_what_would_be_and_ends_with_1_when_it_would_be_refused(run: Run, two: Fleet, payload: str) -> None:
    ran = run("plan", payload, "--shard-size", "1MiB")
    assert ran.code == 0
    for text in ("3.1 MB in 2 files", "4 of 1.0 MB", "direct", "pipeline", "mesh *", "(assumed)"):
        assert text in ran.out
    assert Job.objects.count() == 0
    two.add("full", disk_free=10**6)
    ran = run("plan", payload)
    assert ran.code == 1
    assert "no room: full has 1.0 MB free and lacks 2.1 MB" in ran.out
    assert run("plan", payload, "--json").json["fits"] is False


def test_the_fleet_is_listed_and_a_node_drained_enabled_and_removed(run: Run, two: Fleet, links: Links) -> None:
    run("plan", "gs://weights/llama/")  # the record learns of the nodes
    assert [line.split()[0] for line in run("nodes").lines[2:]] == ["gpu-01", "gpu-02"]
    assert [row["name"] for row in run("nodes", "--labels", "zone=b", "--json").json] == ["gpu-02"]
    assert "gpu-01 is draining" in run("nodes", "drain", "gpu-01").out
    assert run("nodes", "enable", "gpu-01", "--json").json["state"] == "live"
    assert run("nodes", "remove", "gpu-01").code == 6
    assert run("nodes", "drain", "gpu-99").code == 5


def test_a_node_is_shown_with_what_would_make_room_first(run: Run, two: Fleet, links: Links, payload: str) -> None:
    pushed = run("push", payload, "--name", "llama", "--json").json["id"]
    job = UUID(pushed).hex
    shown = run("nodes", "show", "gpu-01")
    assert shown.code == 0 and "none: nothing is removed to make room" in shown.out
    other = run("push", payload, "--name", "pinned", "--destination", "other", "--json").json["id"]
    kept = {
        UUID(other).hex: Kept(9_000_000, pinned=True, whole=True, wanted_at=1.6e9),
        job: Kept(5_000_000, pinned=False, whole=True, wanted_at=1.7e9, evictable=True),
    }
    inventory.put(links.redis, links.cell, "gpu-01", Inventory(1, 10**8, 14_000_000, 5_000_000, kept))
    lines = [line.split() for line in run("nodes", "show", "gpu-01").lines[-2:]]
    assert [(line[0], line[-2], line[-1]) for line in lines] == [
        (job[:8], "first", "llama"),
        (UUID(other).hex[:8], "pinned", "pinned"),
    ]
    told = run("nodes", "show", "gpu-01", "--json").json
    assert (told["node"]["name"], [row["eviction"] for row in told["kept"]]) == ("gpu-01", [1, None])
    assert run("nodes", "show", "gpu-99").code == 5


def test_status_says_which_part_of_the_coordinator_does_not_run(run: Run, two: Fleet) -> None:
    ran = run("status")
    assert ran.code == 7
    assert "not running: herald, planner, pruner, reaper, recorder" in ran.out
    assert "start `manage.py coordinator`" in ran.out
    assert run("status", "--json").json["coordinator"]["planner"] is False


WRONG = (
    (["push", "http://elsewhere/"], 3, "source: "),
    (["push", "gs://weights/llama/", "--nodes", "gpu-77"], 3, "--nodes: no node is named gpu-77"),
    (["push", "gs://weights/llama/", "--nodes", "zone=c"], 3, "--nodes: none of the 2 live nodes"),
    (["push", "gs://weights/llama/", "--nodes", "GPU!"], 2, "picks no nodes"),
    (["push", "gs://weights/llama/", "--shard-size", "big"], 2, '"big" is no size'),
    (["push", "gs://weights/llama/", "--gcs-slots", "0"], 3, "--gcs-slots: "),
    (["show", "deadbeef"], 5, "no job begins with deadbeef"),
    (["show", "0" * 32], 5, "Not found"),
    (["show", "xyz"], 3, "is no job id"),
    (["wait", "gs://weights/none/", "--timeout", "1s"], 8, "is not there"),
    (["wait", "gs://weights/none/", "--timeout", "soon"], 2, "is no duration"),
    (["fly"], 2, "No such command"),
)


def test_what_goes_wrong_is_said_and_has_its_code(run: Run, two: Fleet, payload: str) -> None:
    ran = [(run(*arguments), code, said) for arguments, code, said in WRONG]
    assert [each.err for each, code, said in ran if each.code != code or said not in each.err or each.out] == []


def test_errors_are_json_where_that_was_asked_for(run: Run, two: Fleet, payload: str) -> None:
    ran = run("push", payload, "--nodes", "gpu-77", "--json")
    told = json.loads(ran.err)
    assert (told["kind"], told["status"], told["faults"][0]["field"]) == ("InvalidRequest", 400, "nodes")
    for arguments, hint in (
        (["push", "--json"], "fdist push --help"),
        (["nodes", "--json", "fly"], "fdist nodes --help"),
    ):
        ran = run(*arguments)
        assert (ran.code, ran.out, json.loads(ran.err)["hint"]) == (2, "", hint)
    assert "list what there is" in json.loads(run("show", "0" * 32, "--json").err)["hint"]


def test_a_missing_permission_is_named(
    run: Run, two: Fleet, viewer: AbstractUser, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FDIST_TOKEN", str(AuthToken.objects.create(viewer)[1]))
    ran = run("plan", payload)
    assert ran.code == 4
    assert "transfers.add_job" in ran.err
    assert "an administrator" in ran.err
