"""What open streams cost the web server: python -m tests.bench.streams --streams 100 --nodes 200

Prints a table in Markdown, one row for each kind of stream: the part of a core that the web process takes with the
streams open, while the nodes move shards and say so by heartbeats, and what one stream received. The nodes are made up
(tests.site_fixtures.Fleet); the scheduler, the recorder and the web server are real processes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import requests

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import LocalProcess, ProcessGroup, free_port, wait_until
from fdist_site.local.redis_server import RedisServer

PROJECT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
MAKE_TOKEN = """
from django.contrib.auth import get_user_model
from knox.models import AuthToken
print(AuthToken.objects.create(get_user_model().objects.create_superuser("bench", None, "correct-horse-battery"))[1])
"""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def served(root: Path) -> Iterator[tuple[str, str, RedisServer, LocalProcess]]:
    """A web server and a coordinator; gives its address, a token, its Redis and the web server's process."""
    with ProcessGroup(root / "processes") as group:
        redis = RedisServer(group, root / "redis").start()
        gcs = GcsServer(group, root / "gcs").start()
        gcs.bucket("bench")
        gcs.put("bench", "weights/model.bin", bytes(64_000_000))
        os.environ |= {
            "FDIST_STATE_DIR": str(root / "state"),
            "REDIS_URL": redis.url,
            "FDIST_BROKER_URL": redis.broker_url,
            "STORAGE_EMULATOR_HOST": gcs.endpoint,
            "FDIST_LOG_LEVEL": "warning",
        }
        manage = [sys.executable, str(PROJECT / "manage.py")]
        subprocess.run([*manage, "migrate", "-v", "0"], check=True)
        made = subprocess.run([*manage, "shell", "-v", "0", "-c", MAKE_TOKEN], check=True, capture_output=True)
        port = free_port()
        web = group.start("web", [*manage, "web", "--port", str(port)], env=dict(os.environ))
        group.start("coordinator", [*manage, "coordinator"], env=dict(os.environ))
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(f"{url}/readyz"), 60, "the web server")
        yield url, made.stdout.decode().split()[-1], redis, web


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def drive(
    redis: RedisServer, nodes: int, url: str, token: str, jobs: int, stop: threading.Event
) -> tuple[list[str], threading.Thread]:
    """Makes nodes and jobs; gives the jobs, and the thread that has each node beat and move some shards a second."""
    from django import setup

    setup()
    from nodes.models import EnrolmentKey
    from tests.site_fixtures import KEY, Fleet
    from transfers.links import Links
    from transfers.scheduler.types import Heartbeat

    EnrolmentKey.adopt("bench", KEY)
    links = Links(redis.url, redis.broker_url, "main")
    wait_until(lambda: bool(links.redis.exists("{fdist:main}:enrolment")), 20, "the planner")
    fleet = Fleet(links).add(*(f"gpu-{number:04d}" for number in range(nodes)))
    made: list[str] = []
    announced: set[str] = set()

    def beat() -> None:
        for number in itertools.count():
            began = time.monotonic()
            for name, epoch in fleet.epochs.items():
                rate = 1e9 + 1e6 * (number % 50)
                links.scheduler.heartbeat(Heartbeat(name, epoch, disk_free=10**11, rate_down=rate, rate_up=rate))
            if stop.wait(max(0.0, 1 - time.monotonic() + began)):
                return

    def work() -> None:
        """Apart from the heartbeats: a job takes longer to announce on 1,000 nodes than they may be silent."""
        for number in itertools.count():
            for job in set(made) - announced:
                fleet.announce(UUID(job).hex)
                announced.add(job)
            if made:
                fleet.move(UUID(made[number % len(made)]).hex, turns=1)
            if stop.wait(1):
                return

    threading.Thread(target=beat, daemon=True).start()
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    for number in range(jobs):
        body = {"source": "gs://bench/weights/", "shard_size": 2**20 // 16, "destination": f"models/{number}"}
        headers = {"Authorization": f"Token {token}"}
        answer = requests.post(f"{url}/api/v1/jobs/", json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        made.append(answer.json()["id"])
    return made, worker


async def listen(url: str, path: str, token: str, received: list[int], number: int) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\nAuthorization: Token {token}\r\n\r\n"
    writer.write(head.encode())
    try:
        if b" 200 " not in (status := await reader.readline()):
            raise SystemExit(f"{path}: {status!r} {await reader.read(2000)!r}")
        while part := await reader.read(2**20):
            received[number] += len(part)
    finally:
        writer.close()


async def measure(url: str, paths: list[str], token: str, pid: int, seconds: float) -> tuple[float, float]:
    """(part of a core, bytes a second that one stream received), with a stream open on each path."""
    received = [0] * len(paths)
    tasks = [asyncio.create_task(listen(url, path, token, received, number)) for number, path in enumerate(paths)]
    await asyncio.sleep(5)
    before, at, began = cpu_seconds(pid), list(received), time.monotonic()
    await asyncio.sleep(seconds)
    spent, span = cpu_seconds(pid) - before, time.monotonic() - began
    for task in tasks:
        if task.done():
            raise SystemExit(f"a stream ended: {task.exception() or 'without an error'}")
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return spent / span, (sum(received) - sum(at)) / max(1, len(paths)) / span


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "fdist_site.settings"
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, token, redis, web):
        jobs, worker = drive(redis, options.nodes, url, token, options.jobs, stop)
        kinds: dict[str, list[str]] = {
            "no stream": [],
            "one job": [f"/api/v1/jobs/{jobs[0]}/stream/"] * options.streams,
            "one job, brief": [f"/api/v1/jobs/{jobs[0]}/stream/?brief=true"] * options.streams,
            "the fleet": ["/api/v1/stream/"] * options.streams,
            f"{len(jobs)} jobs": [f"/api/v1/jobs/{jobs[n % len(jobs)]}/stream/" for n in range(options.streams)],
        }
        print(f"{options.streams} streams, {options.nodes} nodes, {options.jobs} open jobs of 977 shards\n")
        print("| streams of | part of a core | bytes/s of one stream |\n| --- | ---: | ---: |")
        for kind, paths in kinds.items():
            core, rate = asyncio.run(measure(url, paths, token, web.pid, options.seconds))
            print(f"| {kind} | {core:.3f} | {rate:,.0f} |", flush=True)
        stop.set()
        worker.join()


if __name__ == "__main__":
    main()
