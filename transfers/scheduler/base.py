"""What the parts of the face share: the client, the clock, and how a script is called."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import redis

from transfers.errors import NoSuchJob, StaleNode
from transfers.scheduler.keys import Keys
from transfers.scheduler.scripts import Scripts
from transfers.scheduler.types import GCS, Assignment


class Base:
    _client: redis.Redis
    _keys: Keys
    _scripts: Scripts
    _clock: Callable[[], int]
    _random: random.Random
    _dead_after: int
    _blocking: redis.Redis | None

    def _run(self, script: str, *args: str | int | float) -> Any:
        return self._scripts(script, self._clock(), self._random.getrandbits(31), *args)


def text(value: Any) -> str:
    """Redis's answer as str, whether or not the client decodes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def texts(mapping: Any) -> dict[str, str]:
    return {text(key): text(value) for key, value in mapping.items()}


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def check(code: int, node: str, job: str) -> None:
    """Raises StaleNode or NoSuchJob for a script's negative answers."""
    if code == -1:
        raise StaleNode(f"the scheduler does not know this start of node {node}: it has to register again")
    if code == -2:
        raise NoSuchJob(f"the scheduler holds no job {job} for node {node}")


def assignment(raw: dict[str, Any]) -> Assignment:
    return Assignment(
        lease=raw["lease"],
        job=raw["job"],
        shard=int(raw["shard"]),
        source=raw.get("source") or GCS,
        address=raw.get("address"),
        ticket=raw.get("ticket"),
        digest=int(raw["digest"]) if raw.get("digest") is not None else None,
        expires=int(raw["expires"]),
        cut_through=bool(raw.get("cut_through")),
        confirm=bool(raw.get("confirm")),
        follows=raw.get("follows", ""),
    )
