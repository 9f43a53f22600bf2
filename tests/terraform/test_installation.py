"""A whole installation as the start-up scripts make it, from a real package: it works, is waited for, is upgraded."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from fdist_site.cloud import deploy
from fdist_site.cloud.package import make_package
from fdist_site.cloud.rolling import Patience, upgrade
from fdist_site.cloud.tools import CloudError
from fdist_site.cloud.upgrade import InstanceGroup, main
from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import ProcessGroup, wait_until
from fdist_site.local.redis_server import RedisServer
from tests.cloud import Cloud
from tests.played.gcloud import understand
from tests.played.programs import CARRY
from tests.terraform.installation import CELL, SECRETS, Installation
from tests.terraform.machine import VERSION
from transfers.client import Fdist
from transfers.scheduler import Scheduler

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RELAY = f"""#!{sys.executable}
import os, pathlib, re, socket, sys, threading
{CARRY}
said = " ".join(sys.argv[1:])
with open(os.environ["PLAYED_CALLS"], "a") as calls:
    calls.write("gcloud " + said + chr(10))
if "buckets describe" in said:
    sys.exit(1)
if "list-instances" in said:
    print("fdist-coordinator-x1")
if "secrets versions access" in said:
    print(pathlib.Path(os.environ["PLAYED_SECRETS"], re.search("--secret=([a-z-]+)", said)[1]).read_text(), end="")
if "start-iap-tunnel" in said:
    port = int(re.search("--local-host-port=127.0.0.1:([0-9]+)", said)[1])
    carry(port, int(os.environ["PLAYED_PORT"]))
"""
TERRAFORM = """#!/bin/bash
echo "terraform ${*:2}" >> "$PLAYED_CALLS"
[ "${#TF_VAR_database_password}" -ge 32 ] && echo "with a password" >> "$PLAYED_CALLS"
[ "$2" = output ] && cat "$PLAYED_OUTPUTS"
exit "${PLAYED_STATUS:-0}"
"""
OUTPUTS = {
    "ui_tunnel": 'gcloud compute start-iap-tunnel "$(gcloud compute instance-groups managed list-instances '
    'fdist-coordinator)" 8000 --local-host-port=127.0.0.1:8000 --project=example-project --zone=us-central1-b',
    "metrics_token": "gcloud secrets versions access latest --secret=fdist-metrics-token",
    "admin_password": "gcloud secrets versions access latest --secret=fdist-admin-password",
    "bucket": "fdist-weights-example-project",
    "workers_expected": 1,  # the least of an autoscaled fleet
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(tmp_path_factory.mktemp("packages"), VERSION)


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory, package: Path, redis_server: RedisServer, gcs: GcsServer
) -> Iterator[Installation]:
    """A coordinator that was started up, and a worker that waited for it in vain."""
    redis_server.client().flushall()
    with Cloud() as cloud:
        installation = Installation(tmp_path_factory.mktemp("machines"), cloud, package, redis_server, gcs)
        early = installation.start_up_worker()
        assert early.returncode == 1 and "did the coordinator start?" in early.stderr
        done = installation.start_up_coordinator()
        assert done.returncode == 0, done.stderr
        yield installation


def test_the_coordinator_makes_each_secret_once_and_a_new_record_takes_the_workers_key_over(
    installed: Installation,
) -> None:
    cloud, machine = installed.cloud, installed.machine
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


@pytest.fixture(scope="module")
def running(
    installed: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installation, ProcessGroup]]:
    """Coordinator and worker, with every service up and the worker registered."""
    done = installed.start_up_worker()
    assert done.returncode == 0, done.stderr
    with ProcessGroup(tmp_path_factory.mktemp("logs")) as group:
        installed.start_services(group)
        yield installed, group


def played(monkeypatch: pytest.MonkeyPatch, folder: Path, installation: Installation | None = None) -> Path:
    """gcloud and terraform on PATH as programs that play them; gives the file with how they were called."""
    for name, text in (("gcloud", RELAY), ("terraform", TERRAFORM)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "outputs.json").write_text(json.dumps({name: {"value": value} for name, value in OUTPUTS.items()}))
    for name, versions in (installation.cloud.secrets if installation else {}).items():
        (folder / name).write_bytes(versions[-1])
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PLAYED_CALLS", str(folder / "calls"))
    monkeypatch.setenv("PLAYED_OUTPUTS", str(folder / "outputs.json"))
    monkeypatch.setenv("PLAYED_SECRETS", str(folder))
    monkeypatch.setenv("PLAYED_PORT", str(installation.web_port if installation else 9))
    return folder / "calls"


def test_make_deploy_applies_and_waits_for_the_fleet(
    running: tuple[Installation, ProcessGroup],
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls = played(monkeypatch, tmp_path, running[0])
    target = ["--project=example-project", "--zones=europe-west4-a,europe-west4-b"]
    done = deploy.main(["deploy", *target, "--num-servers=50", f"--package={package}", "--yes", "--patience=60"])
    said = capfd.readouterr()
    assert done == 0, said.err
    assert "the site is ready, 1 workers are live" in said.out
    assert str(OUTPUTS["ui_tunnel"]) in said.out and str(OUTPUTS["admin_password"]) in said.out
    lines = calls.read_text().splitlines()
    assert any("buckets create gs://example-project-fdist-terraform" in line for line in lines)
    (applied,) = [line for line in lines if line.startswith("terraform apply")]
    assert f"-var=package={package}" in applied and '-var=zones=["europe-west4-a", "europe-west4-b"]' in applied
    assert "password" not in applied and "with a password" in lines
    assert gcloud_takes(lines) >= 5


def gcloud_takes(lines: Sequence[str]) -> int:
    """How many of the calls were of gcloud; each is one that Google's own takes, or this raises Refused."""
    calls = [line.removeprefix("gcloud ").split() for line in lines if line.startswith("gcloud ")]
    return len([understand(call) for call in calls])


def test_the_services_work_together(running: tuple[Installation, ProcessGroup], redis_server: RedisServer) -> None:
    installation, group = running
    scheduler = Scheduler(redis_server.client(), CELL)
    wait_until(lambda: [node.state for node in scheduler.nodes()] == ["live"], 60, "the worker to register")
    (node,) = scheduler.nodes()
    assert node.name == "fdist-worker-x1"
    assert dict(node.labels) == {
        "zone": "us-central1-b",
        "region": "us-central1",
        "machine": "n2-standard-16",
        "model": "llama",
    }
    with requests.Session() as http:
        page = http.get(f"{installation.url}/login/")
        form = {
            "username": "admin",
            "password": installation.cloud.secret("fdist-admin-password"),
            "csrfmiddlewaretoken": http.cookies["csrftoken"],
        }
        answer = http.post(page.url, form, headers={"Referer": page.url}, allow_redirects=False)
    assert answer.status_code == 302, "the password in Secret Manager logs in"
    group.check()


class Restarted:
    """Plays the instance group: a node that is brought up to date starts its agent anew, with another release."""

    def __init__(self, running: tuple[Installation, ProcessGroup], client: Fdist, works: bool = True) -> None:
        self.installation, self.group = running
        self.client = client
        self.works = works
        self.states: list[tuple[str, str]] = []

    def update(self, names: Sequence[str]) -> None:
        self.states += [(name, self.client.node(name).state) for name in names]
        if not self.works:
            return
        settings = self.installation.machine.root / "etc/fdist/agent.env"
        old = self.installation.machine.settings(settings)["FDIST_RELEASE"]
        settings.write_text(settings.read_text().replace(f"FDIST_RELEASE={old}", "FDIST_RELEASE=0.2.0-new"))
        self.group.stop("fdist-agent")
        self.installation.machine.start(self.group, "fdist-agent")


def test_an_upgrade_drains_a_node_before_it_is_touched(
    running: tuple[Installation, ProcessGroup], package: Path
) -> None:
    installation, _ = running
    quick = Patience(idle=20, back=60, pause=0.1)
    with Fdist(installation.url, installation.manage("token", "admin"), patience=30) as client:
        wait_until(lambda: client.node("fdist-worker-x1").state == "live", 60, "the record to have the worker")
        assert client.node("fdist-worker-x1").version == package.name.removeprefix("fdist-").removesuffix(".tar.gz")

        stuck = Restarted(running, client, works=False)
        with pytest.raises(CloudError, match=r"fdist-worker-x1 did not come back with 0\.2\.0-new in 0 s; they stay"):
            upgrade(client, stuck, "0.2.0-new", batch=1, say=print, patience=Patience(idle=20, back=0, pause=0.1))
        assert client.node("fdist-worker-x1").draining
        client.enable("fdist-worker-x1")

        fleet = Restarted(running, client)
        assert upgrade(client, fleet, "0.2.0-new", batch=1, say=print, patience=quick) == 1
        assert fleet.states == [("fdist-worker-x1", "draining")]
        node = client.node("fdist-worker-x1")
        assert (node.state, node.version) == ("live", "0.2.0-new")
        assert upgrade(client, fleet, "0.2.0-new", batch=1, say=print, patience=quick) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "PROJECT: "),
        (["--project=Wrong"], 'PROJECT: "Wrong" is no project id'),
        (["--num-servers=many"], 'NUM_SERVERS: "many" is no whole number from 1 to 2000'),
        (["--region=europe-west4"], "ZONES: name the zones of europe-west4"),
        (["--region=europe-west4", "--zones=us-central1-b"], "ZONES: us-central1-b is not in europe-west4"),
        (["--var-file=missing.tfvars"], "TFVARS: missing.tfvars does not exist"),
        (["--package=missing.tar.gz"], "PACKAGE: missing.tar.gz does not exist"),
        (["--name=X"], 'NAME: "X" has to be'),
    ],
)
def test_what_deploy_cannot_use_is_refused_by_name(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (
        arguments
        if any("project" in each for each in arguments) or not arguments
        else [*arguments, "--project=my-project"]
    )
    assert deploy.main(["deploy", *given]) == 1
    assert said in capsys.readouterr().err


def test_what_terraform_refuses_ends_the_deployment(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    played(monkeypatch, tmp_path)
    monkeypatch.setenv("PLAYED_STATUS", "1")
    assert deploy.main(["deploy", "--project=example-project", f"--package={package}", "--yes"]) == 1
    assert "terraform init failed" in capfd.readouterr().err


def test_a_coordinator_that_does_not_come_is_not_waited_for_without_end() -> None:
    told: list[str] = []
    with pytest.raises(CloudError, match="the coordinator does not answer yet; 3 are wanted"):
        deploy.wait_healthy(lambda: deploy.look("http://127.0.0.1:9", "a-token"), 3, 0, told.append)
    assert told == ["the coordinator does not answer yet"]


def test_make_destroy_says_what_protects_what_it_cannot_destroy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = played(monkeypatch, tmp_path)
    assert deploy.main(["destroy", "--project=example-project", "--name=llama", "--yes"]) == 0
    assert "state stays in gs://example-project-llama-terraform" in capfd.readouterr().out
    lines = calls.read_text().splitlines()
    assert any(line.startswith("terraform destroy") and "-var=name=llama" in line for line in lines)
    (init,) = [line for line in lines if line.startswith("terraform init")]
    assert "-backend-config=bucket=example-project-llama-terraform -backend-config=prefix=llama" in init

    (tmp_path / "terraform").write_text(TERRAFORM.replace('exit "${PLAYED_STATUS:-0}"', '[ "$2" = init ]'))
    assert deploy.main(["destroy", "--project=example-project", "--yes"]) == 1
    assert "deletion_protection = false" in capfd.readouterr().err


def test_machines_are_brought_up_to_date_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = played(monkeypatch, tmp_path)
    group = InstanceGroup("example-project", "us-central1", "fdist-workers", "refresh")
    group.update(["fdist-worker-a1", "fdist-worker-b2"])
    assert calls.read_text().splitlines() == [
        "gcloud compute instance-groups managed update-instances fdist-workers --project=example-project "
        "--region=us-central1 --instances=fdist-worker-a1,fdist-worker-b2 --minimal-action=refresh "
        "--most-disruptive-allowed-action=refresh"
    ]
    assert gcloud_takes(calls.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "token", "said"),
    [
        (["--batch=0"], "a-token", "BATCH: 0 is not 1 or more"),
        ([], "", "FDIST_TOKEN: is not set"),
        (["--name=X"], "a-token", 'NAME: "X" has to be'),
    ],
)
def test_what_upgrade_cannot_use_is_refused_by_name(
    arguments: list[str],
    token: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FDIST_TOKEN", token)
    assert main(["--project=my-project", *arguments]) == 1
    assert said in capsys.readouterr().err
