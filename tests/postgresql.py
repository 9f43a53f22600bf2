"""A real PostgreSQL on a free port, gone with the block that asked for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fdist_site.local.processes import free_port

FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
PROGRAMS = FOUND[-1].parent if FOUND else Path(shutil.which("initdb") or "/none/initdb").parent
MISSING = "needs PostgreSQL's programs (Debian: postgresql)"


def is_installed() -> bool:
    return (PROGRAMS / "initdb").exists()


def run(*command: str | Path) -> None:
    """As the user postgres if we are root: the server refuses to be."""
    argv = [str(part) for part in command]
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*user, *argv], check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def postgresql(options: str = "-c fsync=off", user: str = "fdist") -> Iterator[str]:
    """Gives the address of an empty database, as DATABASE_URL takes it. user: who may do everything there."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fdist-pg-") as folder:
        root = Path(folder)
        if os.geteuid() == 0:
            shutil.chown(root, "postgres")
        run(PROGRAMS / "initdb", "-D", root / "data", "-A", "trust", "-U", user, "-E", "UTF8", "--no-sync")
        settings = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 {options}"
        run(PROGRAMS / "pg_ctl", "-D", root / "data", "-l", root / "log", "-w", "-o", settings, "start")
        try:
            yield f"postgres://{user}@127.0.0.1:{port}/postgres"
        finally:
            run(PROGRAMS / "pg_ctl", "-D", root / "data", "-m", "immediate", "-w", "stop")
