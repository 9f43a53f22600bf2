"""The demo as people run it, and what is left of it afterwards: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fdist_site.local.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
PROJECT = Path(__file__).resolve().parents[2]
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to look for processes")


def processes_of(directory: Path) -> list[str]:
    """Command lines of the processes that know a directory by their arguments or environment."""
    needle = os.fsencode(str(directory))
    found = []
    for proc in Path("/proc").iterdir():
        if not proc.name.isdigit() or proc.name == str(os.getpid()):
            continue
        try:
            if needle in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes():
                found.append((proc / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def nothing_left(directory: Path) -> Callable[[], bool]:
    return lambda: not processes_of(directory)


def start_demo(directory: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")}
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--dir", str(directory), "--nodes", "2", "--size", "8MB", *arguments],
        cwd=PROJECT,
        env=clean | {"FDIST_STATE_DIR": str(directory / "state-of-the-command")} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(demo: subprocess.Popen[str], text: str) -> str:
    assert demo.stdout is not None
    seen = ""
    for line in demo.stdout:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"the demo ended before it said {text!r}:\n{seen}")


@needs_proc
def test_the_demo_distributes_by_both_topologies_and_cleans_up(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    output, _ = demo.communicate(timeout=200)
    assert demo.returncode == 0, output
    assert output.count("is right on each of 2 nodes") == 2
    assert "out of the bucket / payload" in output
    assert "web page: http://127.0.0.1:" in output
    assert processes_of(tmp_path) == []


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    demo = start_demo(tmp_path, "--rate", "2mbit")
    read_until(demo, "running")
    assert processes_of(tmp_path)
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=200)
    assert demo.returncode == 130, output
    assert processes_of(tmp_path) == []


@needs_proc
def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, "--rate", "2mbit")
    read_until(demo, "running")
    demo.kill()
    demo.communicate(timeout=200)
    wait_until(nothing_left(tmp_path), 60, "the killed demo's processes to end")


@needs_proc
def test_a_demo_that_cannot_start_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, FDIST_REDIS_SERVER="/bin/false")
    output, _ = demo.communicate(timeout=200)
    assert demo.returncode == 1, output
    assert "the Redis server did not start" in output
    assert "Traceback" not in output
    assert processes_of(tmp_path) == []


@needs_proc
def test_a_demo_that_is_kept_serves_its_page_until_ctrl_c(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, "--topology", "mesh", "--keep")
    read_until(demo, "stays up")
    time.sleep(1)
    assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=200)
    assert demo.returncode == 0, output
    assert processes_of(tmp_path) == []
