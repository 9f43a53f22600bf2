"""What the documents tell developers to run and no other test does: two targets of make, and quick benchmarks."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_docs import PROJECT

pytestmark = pytest.mark.e2e


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A project of one ugly file, with our Makefile and our tools."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / ".venv" / ".ready").touch()
    (tmp_path / "ugly.py").write_text("import os,sys\nprint( 'a' )\n")
    return tmp_path


def make(folder: Path, target: str) -> None:
    done = subprocess.run(["make", target], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_format_lays_out_and_make_clean_removes_what_was_made(copy: Path) -> None:
    make(copy, "format")
    assert (copy / "ugly.py").read_text() == 'print("a")\n'
    (copy / ".fdist").mkdir()
    make(copy, "clean")
    assert not (copy / ".venv").exists() and not (copy / ".fdist").exists()
    assert (copy / "ugly.py").exists() and Path(sys.executable).exists()


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("make bench-tls ARGS='--size 8MB --repeat 1'", "TLS"),
        ("{python} -m tests.bench.intake --dir {folder} --seconds 0.2", "GB"),
        ("{python} -m tests.bench.verify --gb 0.01 --runs 1 --dir {folder}", "sha256sum"),
    ],
)
def test_a_benchmark_with_little_to_do_prints_its_table(command: str, printed: str, tmp_path: Path) -> None:
    line = command.format(python=sys.executable, folder=tmp_path)
    done = subprocess.run(shlex.split(line), cwd=PROJECT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
