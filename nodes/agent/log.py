"""How an agent logs; see transfers.logs."""

from __future__ import annotations

import logging
from typing import Any

from transfers.logs import log_to_stderr, value_text


def set_up(level: str, form: str) -> None:
    """Log to stderr, one line an event; the libraries' own chatter only when it is a warning."""
    log_to_stderr(level, form)
    for library in ("urllib3", "google", "kombu", "amqp"):
        logging.getLogger(library).setLevel(logging.WARNING)


def say(logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Log `message` with its fields."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", " ".join([message, *(f"{key}={value_text(value)}" for key, value in fields.items())]))
