"""The documents' commands for Redis and PostgreSQL, on servers as an installation that is locked down has them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fdist_site.local.processes import ProcessGroup
from nodes.redis_acl import COORDINATOR
from tests.docs.blocks import SHELL, blocks
from tests.secured import SecuredRedis, needs_tls_server
from tests.unit.test_docs import PAGES, PROJECT

pytestmark = pytest.mark.e2e
LINES = sorted(
    {
        (f"{page.relative_to(PROJECT)}:{block.line}", line.strip().removeprefix("$ "))
        for page in PAGES
        for block in blocks(page)
        if block.language in SHELL
        for line in block.shown_commands.splitlines()
        if "redis-cli" in line
    }
)
DENIED = re.compile(r"NOPERM|NOAUTH|WRONGPASS|ERR |Could not connect|AUTH failed|Usage:")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    folder = tmp_path_factory.mktemp("secured")
    with ProcessGroup(folder / "logs") as group:
        server = SecuredRedis(group, folder / "redis")
        server.start()
        yield server


@needs_tls_server
@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not on PATH (Debian: redis-tools)")
@pytest.mark.parametrize(("place", "line"), LINES, ids=[f"{place} {line[:60]}" for place, line in LINES])
def test_a_command_of_redis_works_by_tls_with_the_login_that_it_names(
    place: str, line: str, secured: SecuredRedis
) -> None:
    """With `--cacert`, as the runbook says; and the user of the address may do it."""
    assert refused(line, secured) == "", place


@needs_tls_server
@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not on PATH (Debian: redis-tools)")
def test_a_login_that_may_not_is_noticed(secured: SecuredRedis) -> None:
    assert "NOPERM" in refused('redis-cli -u "$REDIS_URL" slowlog get 10', secured)
    assert refused('redis-cli -u "$REDIS_NONE" ping', secured)


def refused(line: str, secured: SecuredRedis) -> str:
    """What is said when a command does not work; nothing when it does."""
    told = line.replace("redis-cli", f"redis-cli --cacert {secured.data_dir / 'ca.pem'}", 1)
    addresses = {"REDIS_URL": secured.url_of(COORDINATOR), "REDIS_ADMIN_URL": secured.url_of("default")}
    done = subprocess.run(["bash", "-c", told], env=os.environ | addresses, capture_output=True, text=True, timeout=30)
    printed = done.stdout + done.stderr
    return printed if done.returncode or DENIED.search(printed) else ""


def test_the_documents_have_commands_of_redis() -> None:
    assert len(LINES) >= 5 and any("REDIS_ADMIN_URL" in line for _, line in LINES)
    assert Path(PROJECT / "docs" / "runbook.md").read_text().count("--cacert") == 1
