"""What the API gives, as typed values. A field that a newer server adds is in `raw`, where all of it is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from transfers.progress import FINAL


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def address(job: str) -> str:
    """Where the API has a job, by its id."""
    return f"jobs/{uuid.UUID(job)}/"


@dataclass(frozen=True)
class Job:
    """id: 32 hexadecimal digits. destination: folder below each node's data directory. error: why it ended badly."""

    id: str
    name: str
    state: str
    error: str
    source: str
    topology: str
    destination: str
    size: int
    file_count: int
    shard_size: int
    shard_count: int
    priority: int
    nodes_total: int
    nodes_done: int
    nodes_failed: int
    shards_held: int
    bytes_from_gcs: int
    bytes_from_peers: int
    bytes_across_zones: int
    amplification: float
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    purged_at: datetime | None
    pinned: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.state in FINAL

    @property
    def part(self) -> float:
        """How much of all that is to arrive on all nodes is there, from 0 to 1."""
        wanted = self.shard_count * self.nodes_total
        return self.shards_held / wanted if wanted else 0.0

    @property
    def title(self) -> str:
        return self.name or self.source

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Job:
        plain = (
            "name",
            "state",
            "error",
            "source",
            "topology",
            "destination",
            "size",
            "file_count",
            "shard_size",
            "shard_count",
            "priority",
            "pinned",
            "nodes_total",
            "nodes_done",
            "nodes_failed",
            "shards_held",
            "bytes_from_gcs",
            "bytes_from_peers",
            "bytes_across_zones",
            "amplification",
            "created_by",
        )
        return cls(
            id=uuid.UUID(row["id"]).hex,
            created_at=datetime.fromisoformat(row["created_at"]),
            started_at=_time(row["started_at"]),
            finished_at=_time(row["finished_at"]),
            purged_at=_time(row["purged_at"]),
            raw=row,
            **{name: row[name] for name in plain},
        )


@dataclass(frozen=True)
class JobNode:
    """A node's part in a job."""

    node: str
    node_state: str
    state: str
    shards_held: int
    bytes_from_gcs: int
    bytes_from_peers: int
    failures: int
    error: str
    started_at: datetime | None
    finished_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> JobNode:
        plain = (
            "node",
            "node_state",
            "state",
            "shards_held",
            "bytes_from_gcs",
            "bytes_from_peers",
            "failures",
            "error",
        )
        return cls(
            started_at=_time(row["started_at"]),
            finished_at=_time(row["finished_at"]),
            raw=row,
            **{name: row[name] for name in plain},
        )


@dataclass(frozen=True)
class Node:
    """A server of the fleet. address: of its shard server.

    quota: bytes that all jobs may take there, None for no limit; used: that they take; evictable: that can make room.
    """

    name: str
    state: str
    draining: bool
    address: str
    labels: Mapping[str, str]
    disk_total: int
    disk_free: int
    quota: int | None
    used: int
    evictable: int
    version: str
    last_seen: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Node:
        plain = (
            "name",
            "state",
            "draining",
            "address",
            "labels",
            "disk_total",
            "disk_free",
            "quota",
            "used",
            "evictable",
            "version",
        )
        return cls(last_seen=_time(row["last_seen"]), raw=row, **{name: row[name] for name in plain})


@dataclass(frozen=True)
class Kept:
    """A job on a node's disk. size: bytes of it there. whole: all of its files are in their places.

    name: "" for a job that the record does not know. wanted_at: when it was last wanted there.
    eviction: 1 is evicted first when another job needs the room, None is not evicted.
    """

    job: str
    name: str
    size: int
    pinned: bool
    whole: bool
    wanted_at: datetime | None
    eviction: int | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Kept:
        plain = ("name", "size", "pinned", "whole", "eviction")
        return cls(
            job=uuid.UUID(row["job"]).hex,
            wanted_at=_time(row["wanted_at"]),
            raw=row,
            **{name: row[name] for name in plain},
        )


@dataclass(frozen=True)
class Event:
    """id: a cursor; events with a higher one came later. node: "" when it is about the whole job."""

    id: int
    at: datetime
    kind: str
    node: str
    state: str
    why: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Event:
        return cls(
            id=row["id"],
            at=datetime.fromisoformat(row["at"]),
            kind=row["kind"],
            node=row["node"] or "",
            state=row["state"],
            why=row["why"],
            raw=row,
        )
