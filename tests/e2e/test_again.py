"""Jobs that ended and are taken up again over REST, by real agents."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Stage
from tests.e2e.test_distribution import flip_bytes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_cancelled_job_is_retried_and_every_file_arrives(stage: Stage) -> None:
    names = stage.agents(2)
    job = stage.submit("mesh", names, destination="retried")
    stage.wait_part(job, 0.2)
    stage.fleet.api("POST", f"jobs/{job}/cancel/")
    stage.fleet.api("POST", f"jobs/{job}/retry/")
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, "retried")


def test_files_that_were_purged_are_brought_again_by_a_retry(stage: Stage) -> None:
    names = stage.agents(2)
    job = stage.submit("mesh", names, destination="purged")
    assert stage.fleet.wait_job(job) == "complete"
    stage.fleet.api("POST", f"jobs/{job}/purge/")
    stage.fleet.api("POST", f"jobs/{job}/retry/")
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, "purged")


def test_verifying_finds_damage_and_heals_it(stage: Stage) -> None:
    names = stage.agents(2)
    job = stage.submit("mesh", names, destination="verified")
    assert stage.fleet.wait_job(job) == "complete"
    for path in (stage.fleet.data_dir(names[0]) / "verified").glob("*.safetensors"):
        flip_bytes(path)
    stage.fleet.api("POST", f"jobs/{job}/verify/")
    assert stage.fleet.wait_job(job) == "complete"
    stage.assert_right(names, "verified")
