"""The scheduler on other servers than the bundled Valkey, and on a cluster's member that has the cell's slot alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from fdist_site.local.processes import ProcessGroup, wait_until
from fdist_site.local.redis_server import RedisServer
from tests.scheduler.cell import Cell
from tests.scheduler.test_scripts import play


def programs() -> list[str]:
    """Redis servers to try: one on PATH, and those that FDIST_OTHER_REDIS names, separated by colons."""
    named = os.environ.get("FDIST_OTHER_REDIS", "").split(":")
    return [name for name in [shutil.which("redis-server") or "", *named] if name]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    with ProcessGroup(tmp_path / "logs") as processes:
        yield processes


@pytest.mark.skipif(not programs(), reason="no redis-server on PATH (Debian: redis-server)")
@pytest.mark.parametrize("program", programs())
def test_a_job_runs_on_this_redis(
    group: ProcessGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("FDIST_REDIS_SERVER", program)
    client = RedisServer(group, tmp_path / "redis").start().client()
    assert int(client.info("server")["redis_version"].split(".")[0]) >= 7
    play(Cell(client))


def test_in_a_cluster_a_cell_needs_one_slot_only(group: ProcessGroup, tmp_path: Path) -> None:
    """The node has the cell's slot and no other: a key elsewhere would be refused."""
    server = RedisServer(group, tmp_path / "redis", cluster=True).start()
    client = server.client()
    slot = client.execute_command("CLUSTER KEYSLOT", "{fdist:main}:nodes")
    client.execute_command("CLUSTER ADDSLOTS", slot)
    wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", 60, "the cluster is up")
    with pytest.raises(redis_py.ResponseError, match="not served"):
        client.set("elsewhere", 1)
    play(Cell(client))
