"""Server-sent events as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """One message as both kinds of listeners get it: with everything, and without its bulky parts."""

    full: str
    brief: str


def encode(event: str, data: dict[str, Any], identity: int | None = None) -> str:
    """identity: what the reader gives as Last-Event-ID when it comes back."""
    head = "" if identity is None else f"id: {identity}\n"
    return f"{head}event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def encode_both(event: str, data: dict[str, Any], bulky: Sequence[str]) -> Text:
    """bulky: the keys that brief listeners do without."""
    full = encode(event, data)
    if not any(key in data for key in bulky):
        return Text(full, full)
    return Text(full, encode(event, {key: value for key, value in data.items() if key not in bulky}))
