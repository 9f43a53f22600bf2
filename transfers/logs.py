"""Log lines that people read and machines split: a few words, then `key=value` pairs; or the same as JSON.

`about` says what a piece of work is about; every line that is logged meanwhile in its thread or task says so too, also
those of the layers below, which do not know.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
# A value goes on until the next key or the end: reasons have spaces, and not everybody quotes them.
PAIR = re.compile(r'(?:^|\s)([a-z][a-z0-9_]*)=("(?:[^"\\]|\\.)*"|.*?)(?=\s[a-z][a-z0-9_]*=|\s*$)', re.DOTALL)

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039  (never changed, only replaced)


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """What all lines are about that are logged inside of the block, beside what they were about before it."""
    token = _about.set({**_about.get(), **{key: str(value) for key, value in fields.items()}})
    try:
        yield
    finally:
        _about.reset(token)


def value_text(value: object) -> str:
    """Text with spaces is quoted, a float has three digits after the point."""
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    if text and not any(letter in text for letter in ' "\n='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def fields_of(message: str) -> dict[str, str]:
    """The `key=value` pairs of a message."""
    return {key: _plain(value) for key, value in PAIR.findall(message)}


def _plain(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    inner = value[1:-1]
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], inner)


class LineFormatter(logging.Formatter):
    """One line an event, with what it is about where the message does not say so itself."""

    def __init__(self) -> None:
        super().__init__(LINE)

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        said = fields_of(record.message)
        more = [f"{key}={value_text(value)}" for key, value in _about.get().items() if key not in said]
        return " ".join([line, *more])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and each pair as a field of its own."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        pairs = {**_about.get(), **fields_of(message)}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({**pairs, **line}, ensure_ascii=False)


FORMATTERS: Mapping[str, type[logging.Formatter]] = {"line": LineFormatter, "json": JsonFormatter}


def log_to_stderr(level: str, form: str) -> None:
    """Sets up logging of a process that runs without Django. form: "line" or "json"."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[form]())
    logging.basicConfig(handlers=[handler], level=level, force=True)
