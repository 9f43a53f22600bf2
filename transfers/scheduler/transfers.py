"""What moves shards: next, wait, unpark, reap."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from transfers.errors import StaleNode
from transfers.scheduler.base import Base, assignment, check, text
from transfers.scheduler.types import Assignment, NextReply, ReapReply, Report


class TransferCalls(Base):
    def next(
        self, node: str, epoch: int, reports: Sequence[Report] = (), want: int = 1, request_id: str | None = None
    ) -> NextReply:
        """Report ended transfers and ask for up to `want` new ones; with fewer, the node is parked.

        request_id: the same id changes nothing and gives the first reply again, without the assignments that have ended
        since. Raises StaleNode.
        """
        told: list[str | int] = []
        for r in reports:
            told += (
                r.lease,
                r.outcome,
                "" if r.crc32c is None else r.crc32c,
                r.bytes,
                r.ms,
                r.why,
                "" if r.first_ms is None else r.first_ms,
            )
        reply = self._run("next", node, epoch, request_id or uuid.uuid4().hex, want, *told)
        if not isinstance(reply, list):
            raise StaleNode(f"the scheduler does not know this start of node {node}: it has to register again")
        raw: dict[str, Any] = json.loads(reply[0])
        return NextReply(
            assignments=tuple(assignment(json.loads(each)) for each in reply[1:]),
            parked=raw["parked"],
            unsettled=tuple(raw["unsettled"]),
            rejected=tuple(raw["rejected"]),
            stale=tuple(raw["stale"]),
            finished=tuple(raw["finished"]),
        )

    def wait(self, node: str, timeout: float, epoch: int | None = None) -> list[Assignment]:
        """What was matched for a parked node, waiting up to `timeout` seconds for it; 0 does not wait.

        epoch: of which start of the node, by default the latest. A wait for an earlier one gets nothing.
        """
        index = self._client.hget(self._keys("nodes"), node)
        if index is None:
            return []
        start = epoch if epoch is not None else self._client.hget(self._keys.node(text(index)), "epoch")
        inbox = self._keys.node(text(index), f":in:{text(start)}")
        found: list[Any] = []
        if timeout > 0:
            first = self._blocking_client(timeout).blpop([inbox], timeout=timeout)
            if first is None:
                return []
            found.append(first[1])
        found += self._client.lpop(inbox, 64) or []
        return [assignment(json.loads(each)) for each in found]

    def unpark(self, node: str, epoch: int) -> list[Assignment]:
        """Wait no longer; gives what had been matched meanwhile. Raises StaleNode."""
        reply = text(self._run("unpark", node, epoch))
        if reply == "stale":
            check(-1, node, "")
        return [assignment(each) for each in json.loads(reply)]

    def reap(self) -> ReapReply:
        """Expire leases, bury silent nodes, move slow nodes of chains, make matches that were missed."""
        raw = json.loads(self._run("reap", self._dead_after))
        return ReapReply(
            expired=raw["expired"],
            died=tuple(raw["died"]),
            buried=len(raw["died"]),
            matched=raw["matched"],
            moved=tuple(raw["moved"]),
            more=raw["more"],
        )

    def _blocking_client(self, timeout: float) -> redis.Redis:
        """A client whose socket outlasts the wait and which never repeats it by itself."""
        if self._blocking is None:
            pool = self._client.connection_pool
            kwargs = {**pool.connection_kwargs, "socket_timeout": timeout + 5, "retry": Retry(NoBackoff(), 0)}
            own = redis.ConnectionPool(connection_class=pool.connection_class, **kwargs)
            self._blocking = redis.Redis(connection_pool=own)
        return self._blocking
