"""The record in PostgreSQL: everything that the coordinator and the API do, on a server of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
PROGRAMS = FOUND[-1].parent if FOUND else Path(shutil.which("initdb") or "/none/initdb").parent

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not (PROGRAMS / "initdb").exists(), reason="needs PostgreSQL's programs (Debian: postgresql)"),
]


def run(*command: str | Path) -> None:
    """As the user postgres if we are root: the server refuses to be."""
    argv = [str(part) for part in command]
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*user, *argv], check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture
def database_url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="fdist-pg-") as folder:
        root = Path(folder)
        if os.geteuid() == 0:
            shutil.chown(root, "postgres")
        run(PROGRAMS / "initdb", "-D", root / "data", "-A", "trust", "-U", "fdist", "-E", "UTF8", "--no-sync")
        settings = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 -c fsync=off"
        run(PROGRAMS / "pg_ctl", "-D", root / "data", "-l", root / "log", "-w", "-o", settings, "start")
        try:
            yield f"postgres://fdist@127.0.0.1:{port}/postgres"
        finally:
            run(PROGRAMS / "pg_ctl", "-D", root / "data", "-m", "immediate", "-w", "stop")


def test_coordinator_and_api_work_on_postgresql(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/coordinator", "tests/api"],
        cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
