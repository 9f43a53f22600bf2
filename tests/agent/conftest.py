"""Fixtures for agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.redis_server import RedisServer
from tests.agent.fleet import Fleet


@pytest.fixture
def fleet(redis_server: RedisServer, redis: redis_py.Redis, gcs: GcsServer, tmp_path: Path) -> Iterator[Fleet]:
    """Agents in this process on the run's servers, whose databases start empty."""
    fleet = Fleet(redis_server.url, redis_server.broker_url, gcs, tmp_path)
    yield fleet
    fleet.close()
