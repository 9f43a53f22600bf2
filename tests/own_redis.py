"""A Redis-compatible server for one block: with nothing in it, and gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fdist_site.local.processes import ProcessGroup
from fdist_site.local.redis_server import RedisServer


@contextmanager
def own_redis() -> Iterator[RedisServer]:
    with (
        tempfile.TemporaryDirectory(prefix="fdist-redis-") as folder,
        ProcessGroup(Path(folder) / "logs") as group,
    ):
        yield RedisServer(group, Path(folder) / "redis").start()
