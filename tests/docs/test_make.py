"""What the documents tell developers to run and no other test does: two targets of make, and benchmarks."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.fleet.namespaces import why_not
from tests.unit.test_docs import PROJECT

pytestmark = pytest.mark.e2e

needs_a_browser = pytest.mark.skipif(not shutil.which("chromium"), reason="needs a browser (Debian: chromium)")


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
        ("make bench-pages ARGS='--nodes 20 --jobs 3 --transfers 2000 --times 1'", "addresses with a p95 over"),
        ("make bench-recorder ARGS='--nodes 10 --shards 500'", "completed shards a second"),
        ("make scheduling ARGS='--scale 0.02 --scenarios even'", "| even | 20 | 20 |"),
        pytest.param("make bench-map ARGS='--nodes 20 --shards 40 --seconds 1'", "frames: p50", marks=needs_a_browser),
        ("{python} -m tests.bench.intake --dir {folder} --seconds 0.2", "GB"),
        ("{python} -m tests.bench.verify --gb 0.01 --runs 1 --dir {folder}", "sha256sum"),
    ],
)
def test_a_benchmark_with_little_to_do_prints_its_table(command: str, printed: str, tmp_path: Path) -> None:
    assert printed in table(command.format(python=sys.executable, folder=tmp_path))


@pytest.mark.root
def test_the_fleets_benchmark_with_little_to_do_prints_its_table() -> None:
    if reason := why_not():
        pytest.skip(reason)
    printed = table("make bench-fleet ARGS='even8 --size 8 --rate 400mbit --methods mesh pipeline'")
    assert "fdist mesh" in printed and "fdist pipeline" in printed


def table(command: str) -> str:
    """What a benchmark prints."""
    done = subprocess.run(shlex.split(command), cwd=PROJECT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
