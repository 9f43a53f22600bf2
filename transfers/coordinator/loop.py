"""A part of the coordinator: a step again and again in a thread, through outages of Redis and of the database."""

from __future__ import annotations

import logging
import random
import threading
from contextlib import suppress
from typing import Protocol

import redis
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from transfers.coordinator.leader import HOLD_SECONDS, Leader
from transfers.metrics import counts

logger = logging.getLogger(__name__)

STANDBY_SECONDS = 1.0
RENEW_SECONDS = HOLD_SECONDS / 2
FIRST_BACKOFF = 0.25
LAST_BACKOFF = 10.0


class Part(Protocol):
    """step: does what there is to do and gives the seconds until it wants to be called again."""

    name: str

    def step(self) -> float: ...


class Loop(threading.Thread):
    """Runs a part until `stop` is set; ends within a step. After an error it waits, each time longer, and goes on."""

    def __init__(self, part: Part, leader: Leader, stop: threading.Event) -> None:
        super().__init__(name=f"fdist-{part.name}", daemon=True)
        self.part = part
        self.leader = leader
        self.stop = stop
        self.backoff = FIRST_BACKOFF
        counts.LEADING.labels(part.name).set(0)
        counts.STEP.labels(part.name)
        counts.STEP_FAILURES.labels(part.name)

    def run(self) -> None:
        logger.info("started part=%s", self.part.name)
        while not self.stop.is_set():
            self.rest(self.turn())
        self.leader.resign()
        connection.close()
        logger.info("stopped part=%s", self.part.name)

    def rest(self, seconds: float) -> None:
        """Waits so long, or until `stop`; a part that leads keeps the lead meanwhile."""
        while seconds > 0 and not self.stop.wait(min(seconds, RENEW_SECONDS)):
            seconds -= RENEW_SECONDS
            if seconds > 0 and self.leader.leading:
                with suppress(redis.RedisError):  # the next turn says so
                    self.leader.lead()

    def turn(self) -> float:
        """One step, or one try to lead; gives the seconds to wait."""
        try:
            close_old_connections()
            leads = self.leader.lead()
            counts.LEADING.labels(self.part.name).set(leads)
            if not leads:
                return STANDBY_SECONDS
            with counts.STEP.labels(self.part.name).time():
                pause = self.part.step()
        except (redis.RedisError, DatabaseError) as error:
            return self._wait_longer(f"{type(error).__name__}: {error}")
        except Exception:
            # A fault of ours in one job must not end the work for all others: it is logged whole, and tried again.
            logger.exception("a step failed part=%s", self.part.name)
            return self._wait_longer("see the traceback")
        self.backoff = FIRST_BACKOFF
        return pause

    def _wait_longer(self, reason: str) -> float:
        counts.STEP_FAILURES.labels(self.part.name).inc()
        wait = self.backoff * random.uniform(0.5, 1.0)  # noqa: S311  (spreads retries, no secret)
        logger.warning("waiting part=%s seconds=%.2f reason=%s", self.part.name, wait, reason.replace("\n", " "))
        self.backoff = min(LAST_BACKOFF, self.backoff * 2)
        connection.close()
        return wait
