"""What a node says it keeps: its quota, what of it is used, and its jobs. Nodes are the truth about bytes.

Each node writes its own entry, whole, whenever something changed, and now and then in any case; the coordinator reads
them all and corrects the record by them. So a loss of Redis, or of a message, is made good by the next one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import redis

from transfers.scheduler.base import text
from transfers.scheduler.keys import Keys

KEY = "inventory"  # hash: node name -> JSON


@dataclass(frozen=True)
class Kept:
    """A job on a node. size: bytes of it there. whole: all of its files are in their places.

    wanted_at: when it was last wanted there, in seconds since 1970. evictable: whether it makes room for another.
    """

    size: int
    pinned: bool
    whole: bool
    wanted_at: float = 0.0
    evictable: bool = False

    @property
    def wanted(self) -> datetime | None:
        return datetime.fromtimestamp(self.wanted_at, UTC) if self.wanted_at else None


@dataclass(frozen=True)
class Linked:
    """A link `current` on a node. job: whose files it names, "" for none that is known there.

    error: why it is not where the coordinator wants it.
    """

    job: str
    error: str = ""


@dataclass(frozen=True)
class Inventory:
    """at: when it was taken, in ms of the scheduler's clock. quota: bytes, None for no limit.

    used: bytes of all jobs. evictable: bytes of those that make room when another job needs it.
    caps: rates and slots that count by order of the coordinator. evicted: jobs that made room lately.
    links: by the folder in which it lies, what a link `current` names.
    """

    at: int
    quota: int | None
    used: int
    evictable: int
    jobs: Mapping[str, Kept] = field(default_factory=dict)
    caps: Mapping[str, int] = field(default_factory=dict)
    evicted: tuple[str, ...] = ()
    links: Mapping[str, Linked] = field(default_factory=dict)

    def room(self, disk_free: int) -> int:
        """Bytes that a new job may have there, when the disk has so many free."""
        if self.quota is None:
            return disk_free
        return max(min(disk_free, self.quota - self.used) + self.evictable, 0)

    def eviction_order(self) -> list[str]:
        """The jobs that make room when another needs it, the one that goes first first."""
        may_go = [job for job, kept in self.jobs.items() if kept.evictable]
        return sorted(may_go, key=lambda job: self.jobs[job].wanted_at)

    def next_to_go(self) -> list[uuid.UUID]:
        """The same, of what can be a job of the record."""
        return [uuid.UUID(hex=job) for job in self.eviction_order() if is_job(job)]


def is_job(job: str) -> bool:
    """Whether what a node calls a job can be one of the record: its folder may have been made by hand."""
    try:
        return uuid.UUID(hex=job).hex == job
    except ValueError:
        return False


def put(client: redis.Redis, cell: str, node: str, inventory: Inventory) -> None:
    body = json.dumps(asdict(inventory), separators=(",", ":"))
    client.hset(Keys(cell)(KEY), node, body)


def read_all(client: redis.Redis, cell: str) -> dict[str, Inventory]:
    """The last word of every node that has said something."""
    found: Any = client.hgetall(Keys(cell)(KEY))
    return {text(node): _parse(text(body)) for node, body in found.items()}


def read(client: redis.Redis, cell: str, node: str) -> Inventory | None:
    """The last word of one node; None when it has said nothing."""
    body: Any = client.hget(Keys(cell)(KEY), node)
    return None if body is None else _parse(text(body))


def _parse(body: str) -> Inventory:
    raw = json.loads(body)
    jobs = {job: Kept(**kept) for job, kept in raw.pop("jobs").items()}
    links = {base: Linked(**linked) for base, linked in raw.pop("links", {}).items()}
    return Inventory(jobs=jobs, evicted=tuple(raw.pop("evicted")), links=links, **raw)
