"""Assignments for tests of what an agent does with them."""

from __future__ import annotations

from transfers.scheduler.types import Assignment


def assignment(shard: int, source: str = "n2") -> Assignment:
    return Assignment(str(shard), "a" * 32, shard, source, "127.0.0.1:1", "ticket", None, 0)
