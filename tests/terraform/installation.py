"""A coordinator and a worker as their start-up scripts set them up, on one machine and with the cloud played."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import ProcessGroup, free_port
from fdist_site.local.redis_server import RedisServer
from tests.cloud import Cloud
from tests.identities import ACCOUNT, Authority
from tests.terraform.machine import Machine

SECRETS = ("secret-key", "signing-key", "admin-password", "metrics-token", "enrolment-key", "coordinator-key")
CELL = "cloud"


class Installation:
    """machine: of both; nothing has run on it yet."""

    def __init__(self, root: Path, cloud: Cloud, package: Path, redis: RedisServer, gcs: GcsServer) -> None:
        self.cloud = cloud
        self.machine = Machine(root, cloud)
        self.web_port = free_port()
        cloud.objects[f"packages/{package.name}"] = package.read_bytes()
        cloud.set("instance/attributes/fdist-package", f"packages/{package.name}")
        cloud.set("instance/attributes/fdist-secrets", "\n".join(f"{name}=fdist-{name}" for name in SECRETS))
        self.common = (
            f"REDIS_URL={redis.url}\nFDIST_CELL={CELL}\nSTORAGE_EMULATOR_HOST={gcs.endpoint}\n"
            "FDIST_METRICS_TOKEN={{secret:fdist-metrics-token}}\n"
            f"GCE_METADATA_HOST={cloud.environment['GCE_METADATA_HOST']}\n"
        )
        authority = Authority()
        cloud.certificates[authority.key_id] = authority.certificate
        machine = {"instance_name": "fdist-worker-x1", "zone": "us-central1-b"}
        cloud.identities["default"] = lambda audience: authority.token(audience, machine=machine)

    def start_up_coordinator(self) -> subprocess.CompletedProcess[str]:
        record = self.machine.root / "record.sqlite3"
        self.cloud.set(
            "instance/attributes/fdist-env",
            f"{self.common}DATABASE_URL=sqlite:///{record}\nFDIST_SECRET_KEY={{{{secret:fdist-secret-key}}}}\n"
            "FDIST_SIGNING_KEY={{secret:fdist-signing-key}}\nFDIST_IDENTITY_PROJECTS=example-project\n"
            f"FDIST_IDENTITY_ACCOUNTS={ACCOUNT}\nFDIST_IDENTITY_ZONES=us-central1-\n"
            f"FDIST_IDENTITY_CERTS_URL=http://{self.cloud.environment['GCE_METADATA_HOST']}/certs",
        )
        return self.machine.run("common", "coordinator")

    def start_up_worker(self) -> subprocess.CompletedProcess[str]:
        self.cloud.set(
            "instance/attributes/fdist-env",
            f"{self.common}FDIST_ENROLMENT=google\nFDIST_COORDINATOR_KEY={{{{secret:fdist-coordinator-key}}}}\n"
            f"FDIST_PEER_TLS=required\n"
            f"FDIST_LISTEN_HOST=127.0.0.1\nFDIST_SHARD_PORT={free_port()}",
        )
        self.cloud.set("instance/attributes/fdist-labels", "model=llama")
        self.cloud.set("instance/name", "fdist-worker-x1")
        self.cloud.set("instance/network-interfaces/0/ip", "127.0.0.1")
        self.cloud.set("instance/zone", "projects/1/zones/us-central1-b")
        self.cloud.set("instance/machine-type", "projects/1/machineTypes/n2-standard-16")
        return self.machine.run("common", "disk", "worker")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def start_services(self, group: ProcessGroup) -> None:
        """Run what systemd would run on the coordinator and on the worker."""
        self.machine.start(
            group, "fdist-web", ("--host 0.0.0.0", "--host 127.0.0.1"), ("8000 --workers 2", str(self.web_port))
        )
        for unit, port in (("fdist-planner", "9464"), ("fdist-recorder", "9465"), ("fdist-reaper", "9466")):
            self.machine.start(group, unit, (port, str(free_port())))
        self.machine.start(group, "fdist-agent")

    def manage(self, *arguments: str) -> str:
        """What a command of fdist prints on the coordinator."""
        home = self.machine.root / "opt/fdist"
        settings = self.machine.settings(self.machine.root / "etc/fdist/coordinator.env")
        argv = [home / ".venv/bin/python", "manage.py", *arguments]
        return subprocess.run(argv, env=settings, cwd=home, capture_output=True, text=True, check=True).stdout.strip()
