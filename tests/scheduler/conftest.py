from __future__ import annotations

import pytest
import redis as redis_py

from tests.scheduler.cell import Cell


@pytest.fixture
def cell(redis: redis_py.Redis) -> Cell:
    return Cell(redis)
