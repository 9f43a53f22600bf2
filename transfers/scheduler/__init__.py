"""The scheduler: who gets which shard from whom. The only caller of the Lua scripts that own the hot state in Redis."""

from __future__ import annotations

from transfers.scheduler.face import Scheduler

__all__ = ["Scheduler"]
