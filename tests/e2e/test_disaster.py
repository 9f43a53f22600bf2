"""The record is lost with its disk, Redis too, and both come back: from a backup, and from what nodes hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fdist_site.local.fleet import PROJECT, LocalFleet
from fdist_site.local.payload import model_payload
from fdist_site.local.processes import wait_until
from tests.e2e.conftest import BUCKET, SHARD, SIZE, Stage
from tests.postgresql import MISSING, is_installed, postgresql

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
IN_FLIGHT = 3 * 8 * SHARD  # what a node may be moving at a moment, in its slots, for three nodes


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
    else:
        with postgresql() as url:
            yield url


@pytest.fixture
def stage(database: str, tmp_path: Path) -> Iterator[Stage]:
    with LocalFleet(tmp_path, database_url=database) as fleet:
        fleet.start()
        payload = model_payload(SIZE)
        yield Stage(fleet, payload, payload.upload(fleet.gcs, BUCKET, "tiny"))


both_databases = pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(not is_installed(), reason=MISSING))],
    indirect=True,
)


def manage(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=stage.fleet.coordinator_environment,
        capture_output=True,
        text=True,
    )


def lose_the_record(stage: Stage) -> None:
    for name in ("coordinator", "web"):
        stage.fleet.kill(name)
    if stage.fleet._database_url.startswith("sqlite"):
        for path in stage.fleet.root.glob("record.sqlite3*"):
            path.unlink()
    else:
        done = manage(stage, "flush", "--no-input")
        assert done.returncode == 0, done.stderr


def bring_it_back(stage: Stage, backup: Path) -> None:
    done = manage(stage, "backup", "restore", str(backup), "--yes")
    assert done.returncode == 0, done.stderr
    stage.fleet.launch_web()
    stage.fleet.start_coordinator()
    wait_until(lambda: answers(stage), 60, "the site")


def answers(stage: Stage) -> bool:
    try:
        return stage.fleet.http.get(f"{stage.fleet.web_url}readyz", timeout=5).ok
    except OSError:
        return False


@both_databases
def test_record_and_redis_are_lost_and_the_fleet_goes_on(stage: Stage, tmp_path: Path) -> None:
    """What the backup knows is finished with no verified byte fetched again; what came after it is forgotten."""
    names = stage.agents(3)
    done = stage.submit("mesh", names, destination="done")
    assert stage.fleet.wait_job(done) == "complete"
    half = stage.submit("mesh", names, destination="half")
    stage.wait_part(half, 0.2)
    backup = tmp_path / "backup"
    saved = manage(stage, "backup", "save", str(backup))
    assert saved.returncode == 0, saved.stderr
    assert backup.stat().st_mode & 0o777 == 0o600
    after = stage.submit("mesh", names, destination="after", priority=-5)
    stage.wait_part(half, 0.5)

    lose_the_record(stage)
    stage.fleet.redis.flushall()
    bring_it_back(stage, backup)

    assert stage.fleet.wait_job(half) == "complete"
    stage.assert_right(names, "half")
    stage.assert_right(names, "done")
    assert stage.fetched(half, names) <= 3 * stage.payload.size + IN_FLIGHT
    assert stage.fleet.job(done)["state"] == "complete"  # and the token of before is good
    # The job that the backup does not know is gone: submitted again, it begins with what its nodes have of it.
    assert (
        stage.fleet.http.get(
            f"{stage.fleet.web_url}api/v1/jobs/{after}/", headers={"Authorization": f"Token {stage.fleet.token}"}
        ).status_code
        == 404
    )
    assert stage.fleet.scheduler.job(after) is None
    again = stage.submit("mesh", names, destination="after")
    assert stage.fleet.wait_job(again) == "complete"
    stage.assert_right(names, "after")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_record_alone_is_lost_and_jobs_of_after_the_backup_run_to_their_end(stage: Stage, tmp_path: Path) -> None:
    """Redis still has them: their nodes get every byte, and the record does not know of it."""
    names = stage.agents(2)
    half = stage.submit("mesh", names, destination="half")
    stage.wait_part(half, 0.1)
    backup = tmp_path / "backup"
    assert manage(stage, "backup", "save", str(backup)).returncode == 0
    after = stage.submit("mesh", names, destination="after")
    lose_the_record(stage)
    bring_it_back(stage, backup)
    for node in names:
        stage.wait_node(half, node)
        stage.wait_node(after, node)
    stage.assert_right(names, "half")
    stage.assert_right(names, "after")
    assert stage.fleet.wait_job(half) == "complete"
    stage.fleet.group.check()  # the recorder has read events of a job that it does not know
    log = (stage.fleet.root / "logs" / "coordinator.log").read_text()
    assert "Traceback" not in log


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_no_backup_is_not_restored(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_text("nonsense" * 1000)
    (tmp_path / "there").write_text("")
    for arguments, said in (
        (("restore", str(tmp_path / "nonsense"), "--yes"), "is no copy of a record"),
        (("restore", str(tmp_path / "none"), "--yes"), "is no file"),
        (("restore", str(tmp_path / "nonsense")), "add --yes"),
        (("save", str(tmp_path / "there")), "give another name"),
        (("save", "/proc/none/backup"), "cannot be written"),
    ):
        refused = manage(stage, "backup", *arguments)
        assert refused.returncode == 1
        assert said in refused.stderr
    assert answers(stage)
