"""The shard server's supervisor: what it is told while a child starts reaches that child."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.agent.shard_server import ServerOptions, ShardServerChild
from tests.agent.fleet import wait_until
from tests.dataplane.nodes import KEY, fetch
from tests.dataplane.payloads import mixed_payload
from transfers.dataplane.peer import PeerClient

RATE = 800_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ShardServerChild]:
    (tmp_path / "a").mkdir()
    options = ServerOptions(tmp_path / "a", "127.0.0.1", 0, 0, 2)
    child = ShardServerChild("n1", options, KEY, moved=lambda: None, unreadable=lambda job, shard: None)
    yield child
    child.stop(0)


def ordered_meanwhile(server: ShardServerChild) -> threading.Thread:
    """Somebody caps the server just now; goes on when that is done, or has to wait."""
    thread = threading.Thread(target=server.set_rate, args=(RATE,), daemon=True)
    thread.start()
    thread.join(0.3)
    return thread


def test_a_cap_that_is_set_while_the_child_is_launched_holds(
    server: ShardServerChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = subprocess.Popen

    def slow(argv: list[str], **options: Any) -> subprocess.Popen[str]:
        """Its command line is made, and nobody can tell it anything yet."""
        ordered_meanwhile(server)
        return launch(argv, **options)

    monkeypatch.setattr(subprocess, "Popen", slow)
    server.start()
    assert server.wait_ready(60)
    wait_until(lambda: server.ask_stats().get("rate") == RATE, what="the child to have the cap")


def test_an_order_never_comes_before_the_key(
    server: ShardServerChild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child takes the first line for its key, and would refuse every ticket."""
    tell = server._tell

    def slow(line: str) -> None:
        if line == KEY:
            ordered_meanwhile(server)
        tell(line)

    monkeypatch.setattr(server, "_tell", slow)
    server.start()
    assert server.wait_ready(60)
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"), 0)
    assert fetch(PeerClient(), server.port, payload.store(tmp_path / "b"), 0) == payload.digest(0)
    wait_until(lambda: server.ask_stats().get("rate") == RATE, what="the child to have the cap")
