"""Server-sent events, read from an answer that goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """id: of the last event that the server numbered, "" before there was one."""

    event: str
    data: Any
    id: str = ""


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages in the lines of a stream (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Comments, which keep the connection open, are left out; so is a message that breaks off.
    """
    event, data, last = "message", list[str](), ""
    for line in lines:
        if not line:
            if data:
                yield Message(event, json.loads("\n".join(data)), last)
            event, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            last = value
