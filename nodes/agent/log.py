"""Log lines that people read and machines split: a few words, then `key=value` pairs."""

from __future__ import annotations

import logging
from typing import Any

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def set_up(level: str) -> None:
    """Log to stderr, one line an event; the libraries' own chatter only when it is a warning."""
    logging.basicConfig(format=FORMAT, level=level, force=True)
    for library in ("urllib3", "google", "kombu", "amqp"):
        logging.getLogger(library).setLevel(logging.WARNING)


def say(logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Log `message` with its fields; text with spaces is quoted, a float has three digits after the point."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", " ".join([message, *(f"{key}={_value(value)}" for key, value in fields.items())]))


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return f'"{text}"' if not text or any(letter in text for letter in ' "\n') else text
