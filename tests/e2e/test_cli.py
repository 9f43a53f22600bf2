"""The command line with a real fleet: bytes move, nodes break, the site restarts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fdist_site.local.processes import wait_until
from tests.e2e.conftest import BUCKET, SHARD, Stage

pytestmark = pytest.mark.e2e
PROGRAM = [sys.executable, "-c", "import sys; from fdist_site.cli.main import main; sys.exit(main())"]


class Cli:
    def __init__(self, stage: Stage, config: Path) -> None:
        self.environment = {
            **os.environ,
            "FDIST_URL": stage.fleet.web_url,
            "FDIST_TOKEN": stage.fleet.token,
            "XDG_CONFIG_HOME": str(config),
            "STORAGE_EMULATOR_HOST": stage.fleet.gcs.endpoint,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def json(self, *arguments: str) -> Any:
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def cli(stage: Stage, tmp_path: Path) -> Cli:
    return Cli(stage, tmp_path)


def test_push_and_wait_shows_progress_and_the_files_are_there(stage: Stage, cli: Cli) -> None:
    names = stage.agents(3)
    pushed = ("push", stage.source, "--nodes", ",".join(names), "--shard-size", str(SHARD))
    code, out, err = cli.run(*pushed, "--destination", "pushed", "--wait")
    assert code == 0, err
    assert "mesh  running" in out
    assert "3 of 3 nodes" in out.splitlines()[-1]
    assert "(1.00 x)" in out.splitlines()[-1]
    stage.assert_right(names, "pushed")
    plan = cli.json("plan", stage.source, "--nodes", ",".join(names))
    assert plan["rates"]["measured_nodes"] == 3
    code, out, _ = cli.run("wait", stage.source, "--node", names[0], "--data-dir", str(stage.fleet.data_dir(names[0])))
    assert (code, out) == (0, f"{stage.fleet.data_dir(names[0]) / 'pushed'}\n")


def test_watching_a_job_that_runs_tells_of_rates_and_sources(stage: Stage, cli: Cli) -> None:
    names = stage.agents(2)
    job = stage.submit("pipeline", names)
    stage.fleet.api("POST", f"jobs/{job}/pause/")
    watching = cli.start("watch", job, "--json")
    assert watching.stdout is not None
    first = watching.stdout.readline()
    stage.fleet.api("POST", f"jobs/{job}/resume/")
    rest, err = watching.communicate(timeout=100)
    assert watching.returncode == 0, err
    looks = [json.loads(line) for line in (first + rest).splitlines()]
    moving = [node for look in looks for node in look["nodes"] if node["rate"] and node["sources"]]
    assert {source for node in moving for source in node["sources"]} <= {"bucket", *names}
    assert moving
    assert [look["part"] for look in looks] == sorted(look["part"] for look in looks)
    assert looks[-1]["state"] == "complete"


def test_waiting_goes_on_while_the_site_restarts(stage: Stage, cli: Cli) -> None:
    (name,) = stage.agents(1)
    job = stage.submit("mesh", [name])
    stage.fleet.stop("web")
    waiting = cli.start("wait", stage.source, "--node", name, "--timeout", "90s")
    stage.wait_node(job, name)
    stage.fleet.launch_web()
    out, err = waiting.communicate(timeout=100)
    assert waiting.returncode == 0, err
    assert out.startswith(stage.source)


def test_a_job_holds_when_nodes_are_killed_slowed_and_damaged(stage: Stage, cli: Cli) -> None:
    names = stage.agents(4)
    faults = ("--kill", "1", "--slow", "1", "--corrupt", "25%", "--for", "3s", "--seed", "7")
    told = cli.json("chaos", stage.source, "--nodes", ",".join(names), *faults, "--keep")
    assert told["held"] is True
    assert sorted(fault["act"] for fault in told["faults"]) == ["corrupt", "kill", "slow"]
    victim = {fault["act"]: fault["node"] for fault in told["faults"]}
    assert not stage.fleet.group.processes[victim["kill"]].running()
    log = (stage.fleet.root / "logs" / f"{victim['corrupt']}.log").read_text()
    assert "damaged on purpose" in log
    (last, *_) = stage.fleet.api("GET", f"transfers/?job={told['job']}&node={victim['corrupt']}")["results"]
    assert last["source"] in names, "what was damaged comes from a node that has it, and not from the bucket"
    destination = str(stage.fleet.job(told["job"])["destination"])
    stage.assert_right([name for name in names if name != victim["kill"]], destination)


def test_bench_tells_what_was_reached_and_leaves_nothing(stage: Stage, cli: Cli) -> None:
    names = stage.agents(2)
    asked = ("bench", f"gs://{BUCKET}/trials/", "--size", "4MB", "--objects", "2", "--nodes", ",".join(names))
    (ran,) = cli.json(*asked, "--rate", "40mbit", "--topology", "mesh")
    assert (ran["topology"], ran["nodes"], ran["size"], ran["amplification"]) == ("mesh", 2, 4_000_000, 1.0)
    assert ran["seconds"]["p50"] <= ran["seconds"]["p99"] <= ran["seconds"]["last"]
    assert 0 < ran["efficiency"]["last"] <= 1
    assert list(stage.fleet.gcs.client().list_blobs(BUCKET, prefix="trials/")) == []

    def gone() -> bool:
        return not any(path.name.startswith("fdist-bench-") for path in stage.fleet.data_dir(names[0]).iterdir())

    wait_until(gone, 60, "the nodes to remove the bench's files")
