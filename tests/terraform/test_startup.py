"""Start-up scripts: checked by shellcheck and systemd, and run for real as far as that goes without a cloud."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fdist_site.cloud.package import make_package
from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import ProcessGroup, wait_until
from fdist_site.local.redis_server import RedisServer
from tests.terraform.cloud import Cloud
from tests.terraform.environment import Environment
from tests.terraform.installation import SECRETS, Installation
from tests.terraform.machine import SCRIPTS, VERSION, Machine
from transfers.scheduler import Scheduler

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
    assert len(units) == 6
    assert said == []


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, gcs: GcsServer
) -> Iterator[Installation]:
    """A coordinator that was started up, and a worker that waits for it."""
    root = tmp_path_factory.mktemp("machines")
    package = make_package(root / "packages", VERSION)
    redis_server.client().flushall()
    with Cloud() as cloud:
        installation = Installation(root, cloud, package, redis_server, gcs)
        early = installation.start_up_worker()
        assert early.returncode == 1 and "did the coordinator start?" in early.stderr
        done = installation.start_up_coordinator()
        assert done.returncode == 0, done.stderr
        yield installation


def test_the_coordinator_makes_each_secret_once_and_a_new_record_takes_the_workers_key_over(
    installed: Installation,
) -> None:
    cloud, machine = installed.cloud, installed.coordinator
    assert set(cloud.secrets) == {f"fdist-{name}" for name in SECRETS}
    (machine.root / "record.sqlite3").unlink()
    done = installed.start_up_coordinator()
    assert done.returncode == 0, done.stderr
    assert {name: len(versions) for name, versions in cloud.secrets.items()} == {f"fdist-{name}": 1 for name in SECRETS}
    assert len({versions[0] for versions in cloud.secrets.values()}) == len(SECRETS)
    assert cloud.secret("fdist-enrolment-key").startswith("fdk_")

    settings = machine.root / "etc/fdist/coordinator.env"
    assert settings.stat().st_mode & 0o777 == 0o600
    assert machine.settings(settings)["FDIST_SECRET_KEY"] == cloud.secret("fdist-secret-key")
    assert machine.calls.count("systemctl restart fdist-web fdist-planner fdist-recorder fdist-reaper") == 2
    told = done.stdout + done.stderr + "\n".join(machine.calls)
    assert "the coordinator is up" in told
    assert [name for name in cloud.secrets if cloud.secret(name) in told] == []


def test_the_services_work_together(installed: Installation, redis_server: RedisServer, tmp_path: Path) -> None:
    done = installed.start_up_worker()
    assert done.returncode == 0, done.stderr
    url = f"http://127.0.0.1:{installed.web_port}"
    token = installed.cloud.secret("fdist-metrics-token")

    with ProcessGroup(tmp_path / "logs") as group, requests.Session() as http:
        installed.start_services(group)

        def live() -> bool:
            group.check()
            try:
                answer = http.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=5)
            except requests.ConnectionError:
                return False
            return 'fdist_nodes{state="live"} 1.0' in answer.text

        wait_until(live, 60, "the worker to be live by the site's own metrics")
        scheduler = Scheduler(redis_server.client(), "cloud")
        (node,) = scheduler.nodes()
        assert node.name == "fdist-worker-x1"
        assert dict(node.labels) == {
            "zone": "us-central1-b",
            "region": "us-central1",
            "machine": "n2-standard-16",
            "model": "llama",
        }
        page = http.get(f"{url}/login/")
        answer = http.post(
            f"{url}/login/",
            {
                "username": "admin",
                "password": installed.cloud.secret("fdist-admin-password"),
                "csrfmiddlewaretoken": http.cookies["csrftoken"],
            },
            headers={"Referer": page.url},
            allow_redirects=False,
        )
        assert answer.status_code == 302, "the password of Secret Manager logs in"


def test_a_package_that_was_changed_is_not_run(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine", cloud)
    cloud.objects["packages/fdist-0.1.0-0123456789ab.tar.gz"] = b"something else"
    cloud.set("instance/attributes/fdist-package", "packages/fdist-0.1.0-0123456789ab.tar.gz")
    done = machine.run("common", "disk", "worker")
    assert done.returncode == 1
    assert "is not what its name says" in done.stderr
    assert not (machine.root / "opt/fdist").exists()
