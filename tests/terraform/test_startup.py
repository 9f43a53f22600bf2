"""Start-up scripts: checked by shellcheck and systemd, and run for real as far as that goes without a cloud."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import Cloud
from tests.terraform.environment import Environment
from tests.terraform.machine import SCRIPTS, Machine

pytestmark = pytest.mark.e2e


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.sh")))
def test_shellcheck_has_nothing_to_say(script: str, checks: Environment) -> None:
    done = subprocess.run(
        [checks.program("shellcheck"), "--external-sources", script], cwd=SCRIPTS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units() -> None:
    units = sorted((SCRIPTS / "units").glob("*.service"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "fdist" in line and "is not executable" not in line]
    assert len(units) == 7
    assert said == []


def test_a_package_that_was_changed_is_not_run(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine", cloud)
    cloud.objects["packages/fdist-0.1.0-0123456789ab.tar.gz"] = b"something else"
    cloud.set("instance/attributes/fdist-package", "packages/fdist-0.1.0-0123456789ab.tar.gz")
    done = machine.run("common", "disk", "worker")
    assert done.returncode == 1
    assert "is not what its name says" in done.stderr
    assert not (machine.root / "opt/fdist").exists()
