"""The launchers start the real servers, and nothing they started outlives the process that asked for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis as redis_py

from fdist_site.local import processes
from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import LocalError, ProcessGroup, free_port


def gone(pid: int, within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_free_port_is_none_that_a_connection_may_be_given() -> None:
    """A client that tries again and again to reach a server on such a port reaches itself, sooner or later."""
    first = processes._given_ports()
    if first <= processes.LEAST_PORT:
        pytest.skip("the system may give any port to a connection")
    assert all(processes.LEAST_PORT <= free_port() < first for _ in range(100))


def test_a_free_port_is_found_where_the_system_does_not_say_which_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PORT_RANGE", tmp_path / "none")
    assert free_port() > 0


def test_the_redis_server_answers(redis: redis_py.Redis) -> None:
    assert redis.ping()


def test_an_uploaded_object_comes_back_with_its_checksum(gcs: GcsServer) -> None:
    gcs.bucket("launcher")
    blob = gcs.put("launcher", "a/b.bin", b"weights")
    assert blob.size == 7
    assert blob.generation
    assert blob.crc32c
    assert blob.download_as_bytes() == b"weights"


def test_an_empty_object_can_be_uploaded(gcs: GcsServer) -> None:
    gcs.bucket("launcher")
    assert gcs.put("launcher", "empty", b"").size == 0


def test_children_and_grandchildren_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from fdist_site.local.processes import ProcessGroup
group = ProcessGroup(Path({str(tmp_path)!r}))
child = group.start("shell", ["sh", "-c", "sleep 300 & echo $!; wait"])
while not child.log.read_text().strip():
    time.sleep(0.02)
print(child.pid, child.log.read_text().strip(), flush=True)
time.sleep(300)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, grandchild = map(int, parent.stdout.readline().split())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert gone(child)
    assert gone(grandchild)


def test_a_child_that_ended_by_itself_is_reported_with_its_log(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        child = group.start("loser", ["sh", "-c", "echo out of luck; exit 3"])
        while child.running():
            time.sleep(0.02)
        with pytest.raises(LocalError, match=r"loser ended with status 3; its log ends:\nout of luck"):
            group.check()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        child = group.start("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while true; do sleep 1; done"])
        while "ready" not in child.log.read_text():
            time.sleep(0.02)
        assert group.stop("stubborn", grace=0.2) == -signal.SIGKILL
