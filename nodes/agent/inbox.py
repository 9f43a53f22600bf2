"""Assignments that the scheduler pushes to this node while it is parked."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import redis

from nodes.agent.log import say
from nodes.agent.session import Backoff
from transfers.scheduler import Scheduler
from transfers.scheduler.types import Assignment

logger = logging.getLogger(__name__)

WAIT = 10.0  # seconds one wait blocks; a push ends it at once
UNKNOWN_PAUSE = 0.2  # seconds between waits that end at once because the scheduler does not know us


class Inbox:
    """A thread that waits at the node's inbox, so that nothing else has to: reports never queue behind a wait.

    Each registration has an inbox of its own, and so a wait in a thread of its own: an older one may be blocked for
    seconds at an inbox to which nothing comes any more.
    """

    def __init__(self, scheduler: Scheduler, node: str, deliver: Callable[[Sequence[Assignment]], None]) -> None:
        self._scheduler = scheduler
        self._node = node
        self._deliver = deliver
        self._lock = threading.Lock()
        self._epoch: int | None = None  # whose wait counts

    def open(self, epoch: int) -> None:
        """Deliver what is pushed to this node under `epoch`, and nothing of before."""
        with self._lock:
            self._epoch = epoch
        threading.Thread(target=self._run, args=(epoch,), name=f"inbox-{epoch}", daemon=True).start()

    def close(self) -> None:
        """Deliver nothing more; the thread ends with the wait that it is in."""
        with self._lock:
            self._epoch = None

    def _run(self, epoch: int) -> None:
        backoff = Backoff()
        while self._epoch == epoch:
            begun = time.monotonic()
            try:
                assignments = self._scheduler.wait(self._node, WAIT, epoch)
            except redis.RedisError as error:
                say(logger, logging.INFO, "inbox out of reach", node=self._node, error=error)
                time.sleep(backoff.pause())
                continue
            backoff.reset()
            if assignments:
                with self._lock:  # nothing is delivered once another epoch, or the end, has been told
                    if self._epoch == epoch:
                        self._deliver(assignments)
            elif time.monotonic() - begun < UNKNOWN_PAUSE:
                time.sleep(UNKNOWN_PAUSE)
