"""The site for a benchmark: a real Valkey, a database of its own, Django set up on both."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fdist_site.local.processes import ProcessGroup
from fdist_site.local.redis_server import RedisServer
from tests.postgresql import postgresql


@contextmanager
def site(database: str) -> Iterator[None]:
    """database: "sqlite", "postgresql" (both new, and gone afterwards), or the address of one that is there.

    Django's settings read the environment once: import what needs them inside of the block.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fdist-bench-")))
        group = stack.enter_context(ProcessGroup(root / "logs"))
        server = RedisServer(group, root / "redis").start()
        if database == "postgresql":
            database = stack.enter_context(postgresql("-c fsync=off -c shared_buffers=256MB"))
        elif database == "sqlite":
            database = f"sqlite:///{root}/record.sqlite3"
        os.environ |= {
            "DATABASE_URL": database,
            "REDIS_URL": server.url,
            "FDIST_BROKER_URL": server.broker_url,
            "FDIST_STATE_DIR": str(root),
            "FDIST_API_RATE": "1000000/min",
            "DJANGO_SETTINGS_MODULE": "fdist_site.settings",
        }
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        call_command("migrate", verbosity=0)
        stack.callback(connections.close_all)
        yield
