"""fdist wait: blocks until the files are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.site_fixtures import Fleet, fold
from transfers.links import Links

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("logged_in")]


@pytest.fixture
def job(run: Run, fleet: Fleet, links: Links, payload: str) -> str:
    """On gpu-01 all is there, on gpu-02 nothing."""
    fleet.add("gpu-01", "gpu-02")
    job: str = run("push", payload, "--json").json["id"].replace("-", "")
    late = fleet.epochs.pop("gpu-02")
    fleet.announce(job)
    fleet.move(job)
    fleet.epochs["gpu-02"] = late
    fold(links)
    return job


def test_a_node_that_has_it_need_not_wait_for_the_others(
    run: Run, job: str, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("wait", payload, "--node", "gpu-01", "--timeout", "60s").code == 0
    monkeypatch.setenv("FDIST_NODE_NAME", "gpu-01")
    assert run("wait", payload, "--on-this-node", "--json").json["job"]["source"] == payload
    assert run("wait", payload, "--node", "gpu-02", "--timeout", "1s").code == 8
    assert run("wait", payload, "--timeout", "1s").code == 8


def test_files_that_the_record_has_and_the_disk_has_not_are_noticed(
    run: Run, job: str, payload: str, tmp_path: Path
) -> None:
    asked = ("wait", payload, "--node", "gpu-01", "--data-dir", str(tmp_path))
    ran = run(*asked)
    assert ran.code == 1
    assert "fdist verify" in ran.err
    folder = tmp_path / "llama"
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}" * 50)
    (folder / "model.bin").write_bytes(bytes(3 * 2**20))
    ran = run(*asked)
    assert (ran.code, ran.out) == (0, f"{folder}\n")


def test_a_node_that_could_not_take_it_ends_the_waiting(
    run: Run, job: str, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.scheduler.finish(job, "gpu-02", fleet.epochs["gpu-02"], error="the disk is full")
    fold(links)
    ran = run("wait", payload, "--node", "gpu-02")
    assert ran.code == 1
    assert "gpu-02 could not take gs://weights/llama/: the disk is full" in ran.err


def test_the_newest_job_that_was_not_cancelled_counts(run: Run, job: str, fleet: Fleet, payload: str) -> None:
    newer = run("push", payload, "--json").json["id"]
    assert run("wait", payload, "--node", "gpu-01", "--timeout", "1s").code == 8
    run("cancel", newer)
    assert run("wait", payload, "--node", "gpu-01", "--timeout", "60s").code == 0
