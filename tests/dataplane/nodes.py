"""Nodes for tests: a data directory with a shard server over it, and a reader of its shards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfers.dataplane.peer import PeerClient
from transfers.dataplane.serving import ShardServer
from transfers.dataplane.store import JobStore
from transfers.dataplane.tickets import make_ticket

from .payloads import JOB

KEY = "the serving node's own key"
READER = "gpu-02"


@contextmanager
def serving(data_dir: Path, **options: Any) -> Iterator[ShardServer]:
    server = ShardServer(data_dir, KEY, **options)
    server.start()
    try:
        yield server
    finally:
        server.close()


def ticket_for(shard: int, job: str = JOB) -> str:
    return make_ticket(KEY, job, shard, READER, int(time.time() * 1000) + 60_000)


def fetch(client: PeerClient, port: int, store: JobStore, shard: int, **options: Any) -> int:
    """Read a shard (going on where an earlier transfer stopped), keep what came when it fails; gives its digest."""
    writer = store.writer(shard, store.received(shard))
    ticket = options.pop("ticket", None) or ticket_for(shard, store.job)
    try:
        client.read_shard(
            f"127.0.0.1:{port}", store.job, shard, ticket, READER, writer, offset=writer.received, **options
        )
        return writer.finish()
    except BaseException:
        writer.abort()
        raise
