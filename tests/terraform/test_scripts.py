"""The parts of start-up scripts that need no package: the data disk, leaving, Redis with TLS."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
import yaml

from fdist_site import conf
from fdist_site.celery import make_app
from fdist_site.local.processes import ProcessGroup, free_port, wait_until
from nodes.agent.session import connect
from nodes.redis_acl import AGENT, COORDINATOR, agent_rules, coordinator_rules
from tests.cloud import Cloud
from tests.terraform.machine import SCRIPTS, Machine
from transfers.nudge import nudge
from transfers.scheduler import Scheduler
from transfers.scheduler.types import NodeInfo

ENDS_WHEN_TOLD = """
case "$1" in
is-active) [ ! -e "$FDIST_ROOT/gone" ] ;;
kill) touch "$FDIST_ROOT/gone" ;;
esac
"""


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


def call(machine: Machine, line: str) -> subprocess.CompletedProcess[str]:
    """Run one line with the functions of common.sh and disk.sh."""
    script = "\n".join([*((SCRIPTS / f"{name}.sh").read_text() for name in ("common", "disk")), line])
    return subprocess.run(["bash", "-c", script], env=machine.environment, capture_output=True, text=True)


def mounted(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run mount_data_disk on a machine where nothing is mounted yet."""
    machine.play("mountpoint", "exit 1")
    return call(machine, f'mount_data_disk "$FDIST_ROOT/data" {" ".join(arguments)}')


def test_a_secret_that_cannot_be_read_is_not_replaced(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud)
    assert call(machine, "ensure_secret key").returncode == 0
    (value,) = cloud.secrets["key"]
    cloud.denies = True
    denied = call(machine, "ensure_secret key")
    assert denied.returncode == 1 and "secret key could not be read for 0 s" in denied.stderr
    cloud.denies = False
    assert call(machine, "ensure_secret key").returncode == 0
    assert cloud.secrets["key"] == [value]
    assert call(machine, "secret key").stdout == value.decode()


def test_settings_take_each_secret_as_it_is(cloud: Cloud, tmp_path: Path) -> None:
    cloud.secrets = {"one": [rb"a&b\1/$HOME"], "two": [b"second"]}
    done = call(Machine(tmp_path, cloud), "fill 'A={{secret:one}}\nB=x:{{secret:two}}@{{secret:one}}'")
    assert done.stdout.encode().replace(b"\\n", b"\n") == rb"A=a&b\1/$HOME" + b"\n" + rb"B=x:second@a&b\1/$HOME" + b"\n"


def test_metrics_go_to_the_cloud_by_the_names_of_the_cell_and_of_the_machine(cloud: Cloud, tmp_path: Path) -> None:
    """Machines of several installations share a project, and every one of them asks itself at 127.0.0.1."""
    cloud.metadata |= {"instance/attributes/fdist-ops-agent": "true", "instance/name": "llama-worker-x1f7"}
    machine = Machine(tmp_path, cloud)
    for folder in ("etc/fdist", "opt/fdist/terraform/scripts"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SCRIPTS / "ops-agent.yaml", tmp_path / "opt/fdist/terraform/scripts")
    (tmp_path / "etc/fdist/agent.env").write_text("FDIST_CELL=llama\nFDIST_METRICS_TOKEN=a-token-for-metrics\n")
    done = call(machine, "start_ops_agent 8000 9464")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "etc/google-cloud-ops-agent"
    [job] = yaml.safe_load((folder / "config.yaml").read_text())["metrics"]["receivers"]["fdist"]["config"][
        "scrape_configs"
    ]
    assert job["job_name"] == "llama"
    assert [(each["targets"], each["labels"]) for each in job["static_configs"]] == [
        (["127.0.0.1:8000"], {"instance": "llama-worker-x1f7:8000"}),
        (["127.0.0.1:9464"], {"instance": "llama-worker-x1f7:9464"}),
    ]
    token = folder / "fdist-token"
    assert token.read_text().strip() == "a-token-for-metrics" and token.stat().st_mode & 0o777 == 0o600


def add_disks(machine: Machine, *names: str) -> list[str]:
    folder = machine.root / "dev/disk/by-id"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [str(folder / name) for name in names]


def test_several_local_ssds_become_one_disk(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud, {"mdadm": '[ "$1" != --assemble ]'})
    first, second = add_disks(machine, "google-local-nvme-ssd-0", "google-local-nvme-ssd-1")
    add_disks(machine, "google-local-nvme-ssd-0-part1", "google-persistent-disk-0")
    assert mounted(machine, "fdist-data").returncode == 0
    array = f"{tmp_path}/dev/md/fdist"
    assert machine.calls[1:] == [
        f"mdadm --assemble {array} {first} {second}",
        f"mdadm --create {array} --level=0 --force --run --raid-devices=2 {first} {second}",
        f"blkid -s LABEL -o value {array}",
        f"mkfs.xfs -q -f -L fdist-data {array}",
        f"mount -o noatime {array} {tmp_path}/data",
    ]


def test_one_of_several_ssds_is_used_where_they_cannot_be_joined(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud, {"apt-get": "exit 100"})
    (machine.bin / "mdadm").unlink()
    first, _ = add_disks(machine, "google-local-nvme-ssd-0", "google-local-nvme-ssd-1")
    if shutil.which("mdadm"):
        pytest.skip("this machine has mdadm")
    done = mounted(machine, "fdist-data")
    assert "of 2 local SSDs one is used" in done.stderr
    assert machine.calls[-1] == f"mount -o noatime {first} {tmp_path}/data"


def test_a_disk_with_our_data_is_mounted_as_it_is(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud, {"blkid": "echo fdist-data"})
    (disk,) = add_disks(machine, "google-fdist-data")
    done = mounted(machine, "fdist-data")
    assert "with what was on it" in done.stderr
    assert not any(call.startswith("mkfs") for call in machine.calls)
    assert machine.calls[-1] == f"mount -o noatime {disk} {tmp_path}/data"


def test_a_disk_that_is_broken_is_made_anew_unless_its_data_are_nowhere_else(cloud: Cloud, tmp_path: Path) -> None:
    broken = {"blkid": "echo fdist-data", "mount": f'[ -e "{tmp_path}/made" ]', "mkfs.xfs": f'touch "{tmp_path}/made"'}
    machine = Machine(tmp_path / "machine", cloud, broken)
    add_disks(machine, "google-fdist-data", "google-fdist-redis")
    kept = mounted(machine, "fdist-redis", "keep")
    assert kept.returncode == 1 and "cannot be mounted; look at it" in kept.stderr
    assert not any(call.startswith("mkfs") for call in machine.calls)
    assert mounted(machine, "fdist-data").returncode == 0
    assert any(call.startswith("mkfs.xfs") for call in machine.calls)


def test_without_a_disk_files_go_to_the_boot_disk(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud)
    done = mounted(machine, "fdist-data")
    assert done.returncode == 0 and "files go to the boot disk" in done.stderr
    assert (tmp_path / "data").is_dir()
    assert not any(call.startswith(("mkfs", "mount ")) for call in machine.calls)


def test_a_spot_machine_leaves_when_its_notice_comes(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud, {"systemctl": ENDS_WHEN_TOLD})
    cloud.set("instance/preempted", "FALSE")
    cloud.set("instance/attributes/fdist-notice", "30")
    watching = subprocess.Popen(
        ["bash", SCRIPTS / "leave.sh", "watch"], env=machine.environment, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: cloud.waiting > 0, 60, "the script to wait for the notice")
    assert machine.calls == [] and watching.poll() is None
    cloud.set("instance/preempted", "TRUE")
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == 0 and "leaving within 22 s" in said
    assert machine.calls == [
        "systemctl is-active --quiet fdist-agent",
        "systemctl kill --kill-whom=main --signal=USR2 fdist-agent",
        "systemctl is-active --quiet fdist-agent",
        "systemctl stop fdist-agent",
    ]


def test_a_machine_whose_agent_has_ended_is_not_held_up(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud, {"systemctl": "exit 3"})
    done = subprocess.run(["bash", SCRIPTS / "leave.sh"], env=machine.environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert machine.calls == ["systemctl is-active --quiet fdist-agent"]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_a_redis_of_ones_own_is_reached_by_tls_with_a_users_password_alone(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine", cloud)
    cloud.set("instance/network-interfaces/0/ip", "127.0.0.1")
    made = ("password", "agents-password", "coordinator-password", "certificate")
    cloud.set("instance/attributes/fdist-secrets", "\n".join(f"{name}=fdist-redis-{name}" for name in made))
    cloud.set("instance/attributes/fdist-users", (SCRIPTS / "users.acl").read_text().replace("@cell@", "main").strip())
    port = free_port()
    for _ in range(2):
        done = machine.run("common", "disk", "redis", FDIST_REDIS_PORT=str(port))
        assert done.returncode == 0, done.stderr
    assert {name: len(versions) for name, versions in cloud.secrets.items()} == {
        f"fdist-redis-{name}": 1 for name in made
    }
    authority = tmp_path / "authority.pem"
    authority.write_text(cloud.secret("fdist-redis-certificate"))
    options = f"ssl_cert_reqs=required&ssl_ca_certs={authority}&ssl_check_hostname=true"
    address = f"rediss://:{cloud.secret('fdist-redis-password')}@127.0.0.1:{port}"
    with ProcessGroup(tmp_path / "logs") as group:
        group.start("redis", [shutil.which("redis-server") or "", machine.root / "etc/redis/redis.conf"])

        def answers() -> bool:
            group.check()
            try:
                return bool(connect(f"{address}/0?{options}").ping())
            except redis_py.ConnectionError:
                return False

        wait_until(answers, 60, "Redis to answer")
        assert nudge(make_app(conf.broker_url({"REDIS_URL": f"{address}/0?{options}"})), "ab" * 16, ["gpu-01"]) == 1
        assert connect(f"{address}/0?{options}").config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        users = {
            role: f"rediss://fdist-{role}:{cloud.secret(f'fdist-redis-{role}-password')}@127.0.0.1:{port}/0?{options}"
            for role in ("agents", "coordinator")
        }
        assert nudge(make_app(conf.broker_url({"REDIS_URL": users["coordinator"]})), "ab" * 16, ["gpu-01"]) == 1
        Scheduler(connect(users["coordinator"])).set_enrolment_keys([hashlib.sha256(b"key").hexdigest()])
        Scheduler(connect(users["coordinator"])).reap()  # which loads the functions
        info = NodeInfo("gpu-01", "10.0.0.7:7400", "secret", upload_slots=1, download_slots=1, gcs_slots=1)
        assert Scheduler(connect(users["agents"])).register(info, "key").epoch
        with pytest.raises(redis_py.exceptions.NoPermissionError):
            connect(users["agents"]).flushall()
        with pytest.raises(redis_py.AuthenticationError):
            connect(f"rediss://127.0.0.1:{port}/0?{options}").ping()
        with pytest.raises(redis_py.ConnectionError, match="certificate verify failed"):
            connect(f"{address}/0?ssl_cert_reqs=required").ping()
        with pytest.raises(redis_py.ConnectionError):
            connect(f"redis://127.0.0.1:{port}/0").ping()


def test_the_users_of_redis_are_those_that_the_code_names() -> None:
    """After a change of nodes/redis_acl.py: write these lines to terraform/scripts/users.acl."""
    assert (SCRIPTS / "users.acl").read_text().splitlines() == [
        "user default on #@password@ ~* &* +@all",
        " ".join(["user", AGENT, "on", "#@agents-password@", *agent_rules("@cell@")]),
        " ".join(["user", COORDINATOR, "on", "#@coordinator-password@", *coordinator_rules("@cell@")]),
    ]


def test_a_worker_that_is_told_another_package_starts_up_again(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path, cloud)
    (tmp_path / "opt/fdist-0.1.0-aaaaaaaaaaaa").mkdir(parents=True)
    (tmp_path / "opt/fdist").symlink_to(tmp_path / "opt/fdist-0.1.0-aaaaaaaaaaaa")
    cloud.set("instance/attributes/fdist-package", "packages/fdist-0.1.0-aaaaaaaaaaaa.tar.gz")
    watching = subprocess.Popen(["bash", SCRIPTS / "update.sh"], env=machine.environment, stderr=subprocess.PIPE)
    wait_until(lambda: cloud.waiting > 0, 60, "the script to wait for another name")
    assert machine.calls == [] and watching.poll() is None
    cloud.set("instance/attributes/fdist-package", "packages/fdist-0.2.0-bbbbbbbbbbbb.tar.gz")
    watching.communicate(timeout=30)
    assert machine.calls == ["systemctl restart --no-block google-startup-scripts.service"]
