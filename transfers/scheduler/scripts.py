"""Loads the Lua scripts: one file an operation, shared parts put in place of `-- include` lines, once each."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import redis

FOLDER = Path(__file__).with_name("lua")
MARK = "-- include "


@cache
def source(name: str) -> str:
    """The whole text of the operation `name`, its includes resolved in order."""
    lines: list[str] = []
    for line in (FOLDER / f"{name}.lua").read_text().splitlines():
        if line.startswith(MARK):
            lines.append((FOLDER / line.removeprefix(MARK).strip()).read_text())
        else:
            lines.append(line)
    return "\n".join(lines)


def names() -> list[str]:
    """Every operation."""
    return sorted(path.stem for path in FOLDER.glob("*.lua"))


class Scripts:
    """Calls operations by name; one that Redis no longer has (a restart, a flush) is loaded again by the client."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._loaded: dict[str, Any] = {}

    def __call__(self, name: str, *args: str | int | float) -> Any:
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = self._client.register_script(source(name))
        return script(keys=[self._prefix], args=list(args))
