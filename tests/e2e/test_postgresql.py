"""The record in PostgreSQL: everything that the coordinator and the API do, on a server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgresql import MISSING, is_installed, postgresql

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not is_installed(), reason=MISSING),
]


def test_coordinator_and_api_work_on_postgresql() -> None:
    with postgresql() as database_url:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/coordinator", "tests/api"],
            cwd=PROJECT,
            env=os.environ | {"DATABASE_URL": database_url},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
