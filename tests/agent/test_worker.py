"""Real workers: Celery processes on a broker of their own, nudged, restarted, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fdist_site.celery import make_app
from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import LocalProcess, ProcessGroup
from fdist_site.local.redis_server import RedisServer
from nodes.agent.command_line import worker_argv, worker_environment
from tests.agent.fleet import KEY, MB, Fleet, wait_until
from transfers.nudge import node_queue, nudge, queue_name
from transfers.scheduler import Scheduler

ROOT = Path(__file__).resolve().parents[2]
SLOW = "64mbit"  # 8 shards of 1 MiB a second
SLOTS = 3  # an agent's own: shards that may be under way
MEMORY_LIMIT_MB = 130

pytestmark = pytest.mark.e2e


class Workers:
    """Agents as the system runs them, and a fleet object that plays the coordinator."""

    def __init__(self, group: ProcessGroup, server: RedisServer, gcs: GcsServer, root: Path) -> None:
        self.group = group
        self.server = server
        self.gcs = gcs
        self.root = root
        self.fleet = Fleet(server.url, server.broker_url, gcs, root)
        self.app = make_app(server.broker_url)
        self.environments: dict[str, dict[str, str]] = {}

    def start(self, name: str, **settings: str) -> LocalProcess:
        data_dir = self.root / name
        data_dir.mkdir(exist_ok=True)
        environment = worker_environment(
            os.environ,
            {
                "REDIS_URL": self.server.url,
                "FDIST_BROKER_URL": self.server.broker_url,
                "FDIST_NODE_NAME": name,
                "FDIST_DATA_DIR": str(data_dir),
                "FDIST_ENROLMENT_KEY": KEY,
                "STORAGE_EMULATOR_HOST": self.gcs.endpoint,
                **settings,
            },
        )
        return self.group.start(name, worker_argv(name), env=environment, cwd=ROOT)

    def wait_registered(self, *names: str) -> None:
        wait_until(lambda: set(names) <= set(self.live()), 60, "the agents to register")

    def live(self) -> list[str]:
        return [node.name for node in self.fleet.scheduler.nodes() if node.state == "live"]

    def log(self, name: str) -> str:
        return (self.group.log_dir / f"{name}.log").read_text()

    def moved(self, name: str, job: str) -> int:
        """Bytes that a worker says it moved for a job."""
        lines: list[str] = []

        def said() -> bool:
            lines[:] = [line for line in self.log(name).splitlines() if "job done" in line and job in line]
            return bool(lines)

        wait_until(said, 60, f"{name} to say what it moved")
        line = lines[-1]
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        return int(fields["bytes_gcs"]) + int(fields["bytes_peers"])


@pytest.fixture
def workers(gcs: GcsServer, tmp_path: Path) -> Iterator[Workers]:
    with ProcessGroup(tmp_path / "logs") as group:
        server = RedisServer(group, tmp_path / "redis", persist=True).start()
        workers = Workers(group, server, gcs, tmp_path)
        yield workers
        workers.fleet.close()
        workers.app.close()


def memory_mb(pid: int) -> float:
    """The most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_an_agent_never_loads_django() -> None:
    """Celery's message library looks at five small modules of django.utils where Django is installed, and no more."""
    program = (
        "import sys, fdist_site.worker, nodes.agent.bootstep, nodes.agent.tasks, transfers.dataplane.gcs;"
        "fdist_site.worker.agent_app.finalize();"
        "loaded = {m for m in sys.modules if m.split('.')[0] in ('django', 'rest_framework', 'knox')};"
        "print(sorted(m for m in loaded if m != 'django' and not m.startswith('django.utils')))"
    )
    environment = worker_environment(os.environ, {})
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_broker_restarts_in_the_middle_of_a_job(workers: Workers) -> None:
    names = ["w1", "w2"]
    for name in names:
        workers.start(name, FDIST_GCS_RATE=SLOW, FDIST_DOWNLOAD_RATE=SLOW)
    workers.wait_registered(*names)
    fleet = workers.fleet
    payload = fleet.payload({"a": 30 * MB, "b": 2 * MB})
    job = fleet.submit(payload, names)
    assert nudge(workers.app, job, names) == 2
    fleet.wait_held(job, "w1", 5)
    workers.server.kill()
    time.sleep(1.5)
    workers.server.start()
    fleet.wait_state(job, "complete", 60)
    fleet.check(job, payload)
    for name in names:
        assert workers.moved(name, job) <= payload.layout.size + SLOTS * MB
    # The consumer takes messages again: a nudge is gone from its queue and a job is done.
    second = fleet.submit(fleet.payload({"c": MB}, seed=2), names)
    broker = make_broker_client(workers.server)
    wait_until(lambda: nudge(workers.app, second, names) == 2, 60, "the broker to take messages")
    wait_until(lambda: not any(broker.llen(queue_name(name)) for name in names), 60, "the nudges to be taken")
    fleet.wait_state(second, "complete")
    broker.close()


def test_a_nudge_starts_the_drain_at_once_and_a_repeated_one_changes_nothing(workers: Workers) -> None:
    worker = workers.start("w1", FDIST_HEARTBEAT_SECONDS="60")
    workers.wait_registered("w1")
    fleet = workers.fleet
    fleet.scheduler = Scheduler(fleet.redis, dead_after=600_000)  # it is to be silent for a minute
    payload = fleet.payload({"a": 4 * MB})
    wait_until(lambda: "registered" in workers.log("w1"))
    job = fleet.submit(payload, ["w1"])
    for _ in range(20):
        nudge(workers.app, job, ["w1"])
    fleet.wait_state(job, "complete", 40)  # before the next heartbeat, which would have started it as well
    fleet.check(job, payload)
    assert workers.moved("w1", job) == payload.layout.size
    assert memory_mb(worker.pid) < MEMORY_LIMIT_MB
    broker = make_broker_client(workers.server)
    wait_until(lambda: not broker.llen(queue_name("w1")), 60, "the other nudges to be turned away")
    assert not [key for key in broker.keys("_kombu.binding*") if queue_name("w1").encode() in key]
    broker.close()


def test_sigterm_lets_an_agent_leave_in_good_order(workers: Workers) -> None:
    worker = workers.start("w1", FDIST_GCS_RATE="16mbit")
    workers.wait_registered("w1")
    fleet = workers.fleet
    job = fleet.submit(fleet.payload({"a": 40 * MB}), ["w1"])
    nudge(workers.app, job, ["w1"])
    fleet.wait_held(job, "w1", 2)
    children = children_of(worker.pid)
    assert children
    worker.send(signal.SIGTERM)
    wait_until(lambda: not worker.running(), 60, "the worker to end")
    assert workers.group.stop("w1") == 0
    assert "w1" not in workers.live()
    assert not fleet.scheduler.leases()
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert "agent stopped" in workers.log("w1")


def test_a_killed_agent_takes_its_shard_server_with_it_and_resumes(workers: Workers) -> None:
    worker = workers.start("w1", FDIST_GCS_RATE=SLOW)
    workers.wait_registered("w1")
    fleet = workers.fleet
    payload = fleet.payload({"a": 24 * MB})
    job = fleet.submit(payload, ["w1"])
    fleet.wait_held(job, "w1", 6)
    children = children_of(worker.pid)
    worker.send(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 60, "the shard server to end")
    workers.group.stop("w1")
    workers.start("w1")
    fleet.wait_state(job, "complete", 40)
    fleet.check(job, payload)
    assert workers.moved("w1", job) <= payload.layout.size - 5 * MB


def test_nudges_to_a_broker_that_is_down_are_no_error(workers: Workers) -> None:
    workers.server.stop()
    assert nudge(workers.app, "0" * 32, ["w1"]) == 0
    workers.server.start()
    assert node_queue("w1").routing_key == "node.w1"


def make_broker_client(server: RedisServer):  # type: ignore[no-untyped-def]
    import redis

    return redis.Redis.from_url(server.broker_url)


def test_a_node_that_is_about_to_go_begins_nothing_and_serves_on(workers: Workers) -> None:
    first = workers.start("first")
    workers.start("second", FDIST_GCS_SLOTS="0")
    workers.wait_registered("first", "second")
    fleet = workers.fleet
    payload = fleet.payload({"model": 6 * MB})
    job = fleet.submit(payload, ["first"])
    nudge(workers.app, job, ["first"])
    fleet.wait_state(job, "complete")

    first.send(signal.SIGUSR2)
    fleet.scheduler.enrol(job, ["second"])
    nudge(workers.app, job, ["second"])
    wait_until(lambda: fleet.held(job, "second") == 6, 60, "the shards that only the first node has")

    late = fleet.submit(fleet.payload({"model": 2 * MB}, seed=2), ["first", "third"], destination="models/m2")
    workers.start("third")
    workers.wait_registered("first", "third")
    nudge(workers.app, late, ["first", "third"])
    wait_until(lambda: fleet.held(late, "third") == 2, 60, "the third node to have the second job")
    assert fleet.held(late, "first") == 0
    workers.group.stop("first")
    assert "first" not in workers.live()
