"""Virtual environments of their own for tools that cannot share one with fdist, made when first asked for.

Each is made of a lock file, lies in .venv, and is made anew when the lock changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
PATIENCE = 300  # seconds for downloads


class Unavailable(Exception):
    """The environment cannot be had here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """One that is ready."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python3*/site-packages")
        return found


def make(lock: Path) -> Environment:
    """The environment of a lock file; raises Unavailable. A second process that asks meanwhile waits for the first."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    parent = PROJECT / ".venv" / "checks"
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{lock.stem}-{digest}"
    with (parent / f"{folder.name}.lock").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        if not (folder / ".ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(lock, folder)
            (folder / ".ready").touch()
    return Environment(folder)


def _install(lock: Path, folder: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    python = folder / "bin" / "python"
    options = ["--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--python", str(python), *options)
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--disable-pip-version-check", *options)


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{argv[0]} took longer than {PATIENCE} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise Unavailable(f"packages cannot be installed: {last}")
