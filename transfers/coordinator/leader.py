"""One of several coordinators does a part's work; the others stand by."""

from __future__ import annotations

import logging

import redis
from redis.exceptions import LockError

logger = logging.getLogger(__name__)

HOLD_SECONDS = 5.0


def lock_name(cell: str, part: str) -> str:
    return f"fdist-lead:{cell}:{part}"


def is_led(client: redis.Redis, cell: str, part: str) -> bool:
    """Whether some process does the part's work, or did until some seconds ago."""
    return bool(client.exists(lock_name(cell, part)))


class Leader:
    """A lock in Redis that has to be renewed within HOLD_SECONDS.

    It saves work, nothing more: every part may run twice at once without harm, which is what happens for some seconds
    when a leader hangs and comes back.
    """

    def __init__(self, client: redis.Redis, cell: str, part: str) -> None:
        self.part = part
        self.leading = False
        self._lock = client.lock(lock_name(cell, part), timeout=HOLD_SECONDS, thread_local=False)

    def lead(self) -> bool:
        """Whether this process does the work now; takes the lead if nobody has it. Raises RedisError."""
        was = self.leading
        try:
            if self.leading:
                self._lock.reacquire()
        except LockError:
            self.leading = False
        if not self.leading:
            self.leading = bool(self._lock.acquire(blocking=False))
        if was != self.leading:
            logger.info("%s part=%s", "leading" if self.leading else "standing by", self.part)
        return self.leading

    def resign(self) -> None:
        """Lets another take over at once."""
        if not self.leading:
            return
        self.leading = False
        try:
            self._lock.release()
        except (LockError, redis.RedisError) as error:
            logger.info("the lead ends by itself part=%s reason=%s", self.part, error)
