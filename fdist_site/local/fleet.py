"""A whole installation on this machine: Redis, bucket, coordinator, web server and agents, each a real process."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import requests

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import LocalError, ProcessGroup, free_port, wait_until
from fdist_site.local.redis_server import RedisServer, connect
from nodes.agent.command_line import worker_argv, worker_environment
from transfers.scheduler import Scheduler
from transfers.signing import KEY_SEPARATOR, Signer

PROJECT = Path(__file__).resolve().parents[2]
USER = "demo"
BOOTSTRAP_TIMEOUT = 120
HEALTHY_TIMEOUT = 90.0
ENDED = ("complete", "failed", "cancelled")


@dataclass(frozen=True)
class NodeOptions:
    """What each agent is told, as its environment spells it: rates such as "300mbit" ("" for no cap).

    reuse: off, since the jobs of a local fleet are there to be seen moving, often the same payload twice.
    """

    rate: str = ""
    gcs_rate: str = ""
    upload_slots: int = 6
    download_slots: int = 6
    gcs_slots: int = 3
    reuse: str = "off"
    heartbeat_seconds: float = 1.0
    log_level: str = "info"

    def environment(self) -> dict[str, str]:
        return {
            "FDIST_UPLOAD_RATE": self.rate,
            "FDIST_DOWNLOAD_RATE": self.rate,
            "FDIST_GCS_RATE": self.gcs_rate,
            "FDIST_UPLOAD_SLOTS": str(self.upload_slots),
            "FDIST_DOWNLOAD_SLOTS": str(self.download_slots),
            "FDIST_GCS_SLOTS": str(self.gcs_slots),
            "FDIST_REUSE": self.reuse,
            "FDIST_HEARTBEAT_SECONDS": str(self.heartbeat_seconds),
            "FDIST_LOG_LEVEL": self.log_level,
        }


class LocalFleet:
    """Use as a context manager: leaving it ends every process.

    root: directory for data, logs and the record. redis_url: a server of your own instead of one that is started; the
    fleet then works in a cell of its own there and removes its keys at the end. database_url: SQLite in `root` unless
    given. test_fleet: its nodes obey orders to break. Names of processes: redis, gcs, coordinator, web, and the nodes'.
    """

    def __init__(
        self,
        root: Path,
        *,
        options: NodeOptions | None = None,
        redis_url: str = "",
        database_url: str = "",
        persist: bool = False,
        test_fleet: bool = False,
    ) -> None:
        self.root = root.resolve()
        self.options = options or NodeOptions()
        self.nodes: list[str] = []
        self.group = ProcessGroup(self.root / "logs")
        self.gcs = GcsServer(self.group, self.root / "gcs", host=self.host("gcs"), prefix=self.prefix("gcs"))
        self.redis_server = (
            None
            if redis_url
            else RedisServer(self.group, self.root / "redis", persist=persist, host=self.host("redis"))
        )
        self.cell = f"local-{secrets.token_hex(3)}" if redis_url else "main"
        self._redis_url = redis_url
        self._test_fleet = test_fleet
        self._database_url = database_url or f"sqlite:///{self.root / 'record.sqlite3'}"
        self._signing_key = secrets.token_urlsafe(32)
        self.signer = Signer(self._signing_key)  # of plans; what the coordinator signs with
        self.enrolment_key = f"fdk_{secrets.token_urlsafe(32)}{KEY_SEPARATOR}{self.signer.public_key}"
        self._bootstrap: subprocess.Popen[str] | None = None
        self.token = ""
        self.password = ""
        self.web_port = 0
        self.http = requests.Session()
        self.redis: redis.Redis
        self.scheduler: Scheduler

    def __enter__(self) -> LocalFleet:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def host(self, name: str) -> str:
        """The address of a process, by its name; a fleet that is spread over networks has others."""
        return "127.0.0.1"

    def prefix(self, name: str) -> list[str]:
        """What the command line of a process begins with, by its name."""
        return []

    def start(self) -> LocalFleet:
        """Start all but the agents, and wait until it answers."""
        self.start_stores()
        self.launch_site()
        self.wait_site()
        return self

    def start_stores(self) -> None:
        """Start Redis and the bucket; agents may start from then on."""
        if self.redis_server:
            self.redis_server.start()
            self._redis_url = self.redis_server.url
        self.redis = connect(self._redis_url)
        self.scheduler = Scheduler(self.redis, self.cell)
        # Agents need not wait for the coordinator, which says the same as soon as it runs.
        self.scheduler.set_enrolment_keys([hashlib.sha256(self.enrolment_key.encode()).hexdigest()])
        self.gcs.start()

    def launch_site(self) -> None:
        """Launch what prepares the record, and the web server, which opens the record when it is first asked."""
        self._bootstrap = subprocess.Popen(
            [sys.executable, "-m", "fdist_site.local.bootstrap", USER],
            env=self.coordinator_environment | {"FDIST_ENROLMENT_KEY": self.enrolment_key},
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.launch_web()

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the fleet gets besides our own environment, which may name other servers."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FDIST_")}
        return inherited | {
            "REDIS_URL": self._redis_url,
            "FDIST_CELL": self.cell,
            "STORAGE_EMULATOR_HOST": self.gcs.endpoint,
            "FDIST_TEST_FLEET": str(self._test_fleet),
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def coordinator_environment(self) -> dict[str, str]:
        return self.environment | {
            "DJANGO_SETTINGS_MODULE": "fdist_site.settings",
            "DATABASE_URL": self._database_url,
            "FDIST_STATE_DIR": str(self.root / "state"),
            "FDIST_SIGNING_KEY": self._signing_key,
        }

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}/"

    def start_coordinator(self) -> None:
        self._manage("coordinator", ["coordinator"])

    def launch_web(self) -> None:
        self.web_port = self.web_port or free_port()
        self._manage("web", ["web", "--host", "127.0.0.1", "--port", str(self.web_port)])

    def wait_site(self) -> None:
        """Wait until the record is prepared, launch the coordinator, and wait until the web server is ready."""
        self._finish_bootstrap()
        self.start_coordinator()

        def answers() -> bool:
            self.group.check()
            try:
                return self.http.get(f"{self.web_url}readyz", timeout=5).ok
            except requests.RequestException:
                return False

        wait_until(answers, HEALTHY_TIMEOUT, "the web server to answer")

    def data_dir(self, node: str) -> Path:
        return self.root / "nodes" / node

    def start_agent(self, node: str, options: NodeOptions | None = None, labels: str = "") -> None:
        """Start a node's agent, or start it again with the data that it left."""
        data_dir = self.data_dir(node)
        data_dir.mkdir(parents=True, exist_ok=True)
        settings = (options or self.options).environment() | {
            "FDIST_NODE_NAME": node,
            "FDIST_DATA_DIR": str(data_dir),
            "FDIST_ENROLMENT_KEY": self.enrolment_key,
            "FDIST_LABELS": labels,
            "FDIST_LISTEN_HOST": self.host(node),
        }
        argv = [*self.prefix(node), *worker_argv(node)]
        self.group.start(node, argv, env=worker_environment(self.environment, settings), cwd=PROJECT)
        if node not in self.nodes:
            self.nodes.append(node)

    def start_agents(self, *nodes: str) -> None:
        """Start several and wait until the scheduler has them all."""
        for node in nodes:
            self.start_agent(node)
        self.wait_live(*nodes)

    def wait_live(self, *nodes: str) -> None:
        def all_live() -> bool:
            self.group.check()
            return set(nodes) <= {view.name for view in self.scheduler.nodes() if view.state == "live"}

        wait_until(all_live, HEALTHY_TIMEOUT, f"{len(nodes)} agents to register")

    def kill(self, name: str) -> None:
        """As a power cut would end it, with all that it started."""
        self.group.kill(name)

    def stop(self, name: str) -> None:
        """With SIGTERM, so that an agent says goodbye."""
        self.group.stop(name)

    def submit(self, source: str, topology: str, **options: Any) -> str:
        """A new job by the REST API; gives its id. Raises LocalError with the API's answer if it refused."""
        answer = self.api("POST", "jobs/", json={"source": source, "topology": topology, **options})
        return str(answer["id"]).replace("-", "")

    def job(self, job: str) -> Mapping[str, Any]:
        return self.api("GET", f"jobs/{job}/")

    def wait_job(self, job: str, timeout: float = 120.0) -> str:
        """Wait until the record says that a job ended; gives its state."""

        def ended() -> bool:
            return self.job(job)["state"] in ENDED

        wait_until(ended, timeout, f"job {job} to end")
        return str(self.job(job)["state"])

    def api(self, method: str, path: str, **arguments: Any) -> Mapping[str, Any]:
        headers = {"Authorization": f"Token {self.token}"}
        reply = self.http.request(method, f"{self.web_url}api/v1/{path}", headers=headers, timeout=(5, 60), **arguments)
        if not reply.ok:
            raise LocalError(f"{method} {path} was answered with {reply.status_code}: {reply.text[:500]}")
        answer: Mapping[str, Any] = reply.json()
        return answer

    def close(self) -> None:
        """End every process. Agents go before what they speak to, all of them at once."""
        try:
            if self._bootstrap is not None:
                self._bootstrap.kill()
                self._bootstrap.communicate()
            self.group.close(last=("gcs", "redis"))
        finally:
            if not self.redis_server and hasattr(self, "redis"):
                self._remove_keys()

    def _manage(self, name: str, arguments: list[str]) -> None:
        argv = [sys.executable, str(PROJECT / "manage.py"), *arguments]
        self.group.start(name, argv, env=self.coordinator_environment, cwd=PROJECT)

    def _finish_bootstrap(self) -> None:
        """Wait until the record is prepared, and take over what was made for it."""
        if self._bootstrap is None:
            raise LocalError("the site has not been launched")
        output, errors = self._bootstrap.communicate(timeout=BOOTSTRAP_TIMEOUT)
        if self._bootstrap.returncode:
            raise LocalError(f"the record could not be prepared:\n{errors[-2000:]}")
        self._bootstrap = None
        made = json.loads(output)
        self.password, self.token = made["password"], made["token"]

    def _remove_keys(self) -> None:
        for pattern in (f"{{fdist:{self.cell}}}:*", f"fdist-lead:{self.cell}:*"):
            for key in self.redis.scan_iter(pattern, count=1000):
                self.redis.unlink(key)
