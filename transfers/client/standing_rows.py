"""What the API gives of standing distributions, as typed values; all of it is in `raw`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True)
class Standing:
    """A source that nodes have at all times. link: what programs use, below each data directory.

    current_version: what nodes are to use, None before the first; newest_version: 0 before the first.
    nodes_behind: that are up and use another version, or none. trouble: why there is no newer version.
    """

    name: str
    state: str
    source: str
    nodes: Mapping[str, Any]
    destination: str
    link: str
    topology: str
    share: float
    versions_kept: int
    check_seconds: int
    settle_seconds: int
    marker: str
    paused: bool
    passed_over: int
    current_version: int | None
    current_job: str | None
    newest_version: int
    nodes_total: int
    nodes_up: int
    nodes_current: int
    nodes_behind: int
    trouble: str
    created_by: str | None
    created_at: datetime
    current_at: datetime | None
    reached_at: datetime | None
    checked_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Standing:
        times: dict[str, Any] = {name: _time(row[name]) for name in ("current_at", "reached_at", "checked_at")}
        special = {"raw", "current_job", "created_at", *times}
        return cls(
            current_job=uuid.UUID(row["current_job"]).hex if row["current_job"] else None,
            created_at=datetime.fromisoformat(row["created_at"]),
            raw=row,
            **times,
            **{name: row[name] for name in cls.__dataclass_fields__ if name not in special},
        )


@dataclass(frozen=True)
class StandingVersion:
    """state: current, kept, moving, failed or removed. job: by which its files come.

    nodes_ready: that have all of it; nodes_using: whose link names it.
    """

    number: int
    state: str
    job: str
    job_state: str
    error: str
    size: int
    file_count: int
    nodes_total: int
    nodes_ready: int
    nodes_failed: int
    nodes_using: int
    created_at: datetime
    current_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StandingVersion:
        special = {"raw", "job", "created_at", "current_at"}
        return cls(
            job=uuid.UUID(row["job"]).hex,
            created_at=datetime.fromisoformat(row["created_at"]),
            current_at=_time(row["current_at"]),
            raw=row,
            **{name: row[name] for name in cls.__dataclass_fields__ if name not in special},
        )


@dataclass(frozen=True)
class StandingNode:
    """What a node's link names. version: None for nothing. leaving: it is no longer to have it, and still has files."""

    node: str
    node_state: str
    version: int | None
    behind: bool
    leaving: bool
    why: str
    changed_at: datetime
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StandingNode:
        plain = ("node", "node_state", "version", "behind", "leaving", "why")
        return cls(changed_at=datetime.fromisoformat(row["changed_at"]), raw=row, **{name: row[name] for name in plain})


@dataclass(frozen=True)
class StandingEvent:
    """id: a cursor; events with a higher one came later."""

    id: int
    at: datetime
    kind: str
    version: int | None
    node: str
    why: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StandingEvent:
        plain = ("id", "kind", "version", "node", "why")
        return cls(at=datetime.fromisoformat(row["at"]), raw=row, **{name: row[name] for name in plain})
