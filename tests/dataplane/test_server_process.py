"""The shard server as the agent runs it: a process that reads its key and its orders from a pipe."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from transfers.dataplane.peer import PeerClient

from .nodes import KEY, fetch
from .payloads import mixed_payload

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "a").mkdir()
    command = [sys.executable, "-m", "transfers.dataplane.server", "--data-dir", str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        process.stdin.close()
        process.wait(60)


def say(server: subprocess.Popen[str], line: str) -> None:
    server.stdin.write(line + "\n")
    server.stdin.flush()


def test_it_serves_what_another_process_writes_and_obeys_its_orders(
    server: subprocess.Popen[str], tmp_path: Path
) -> None:
    say(server, KEY)
    ready, port = server.stdout.readline().split()
    assert ready == "ready"
    payload = mixed_payload()
    store, there = payload.store(tmp_path / "a"), payload.store(tmp_path / "b")
    payload.fill(store, 0, 3)
    client = PeerClient()
    assert fetch(client, int(port), there, 0) == payload.digest(0)
    say(server, "rate 80000000")
    say(server, "uploads 5")
    say(server, "clock -250")
    say(server, "nonsense")
    stats: dict[str, int] = {}
    for _ in range(1000):  # the server counts a moment after the reader has the last byte
        say(server, "stats")
        stats = json.loads(server.stdout.readline())
        if stats["sent"]:
            break
        time.sleep(0.02)
    assert (stats["sent"], stats["rate"], stats["connections"]) == (64_000, 80_000_000, 1)
    assert fetch(client, int(port), there, 3) == payload.digest(3)
    server.stdin.close()
    assert server.wait(60) == 0


def test_it_does_not_start_without_a_key(server: subprocess.Popen[str]) -> None:
    say(server, "")
    assert server.wait(60) == 2


def test_it_ends_when_its_parent_does(server: subprocess.Popen[str]) -> None:
    say(server, KEY)
    port = int(server.stdout.readline().split()[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    server.stdin.close()
    assert server.wait(60) == 0
