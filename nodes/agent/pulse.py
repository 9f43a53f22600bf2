"""The node's heartbeat: keeps it known, renews its leases, and brings back what the scheduler wants of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

import redis

from nodes.agent.identity import NotYetAdmitted
from nodes.agent.log import say
from nodes.agent.session import Backoff, Session
from transfers.errors import NotEnrolled
from transfers.scheduler.types import Heartbeat, HeartbeatReply

logger = logging.getLogger(__name__)


class Pulse:
    """One thread: registers whenever that is due, else beats.

    measure: the heartbeat of this moment, given the epoch. registered: called with the open jobs after each
    registration. answered: called with each answer.
    """

    def __init__(
        self,
        session: Session,
        interval: float,
        *,
        measure: Callable[[int], Heartbeat],
        registered: Callable[[Iterable[str]], None],
        answered: Callable[[HeartbeatReply], None],
    ) -> None:
        self._session = session
        self._interval = interval
        self._measure = measure
        self._registered = registered
        self._answered = answered
        self._backoff = Backoff()
        self._stopping = False
        self._answers = threading.Condition()
        self._asked = 0  # beats begun
        self._answered_count = 0  # the last beat that was answered
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        self._stopping = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def soon(self) -> None:
        """Beat now: something is known to have changed."""
        self._due.set()

    def beat(self, patience: float) -> bool:
        """Beat now and wait for what comes of it; False when there was no answer within `patience` seconds."""
        with self._answers:
            # The beat that is under way may have been answered before what we are told of had happened.
            wanted = self._asked + 1
            self._due.set()
            return self._answers.wait_for(lambda: self._answered_count >= wanted or self._stopping, patience)

    def _run(self) -> None:
        while not self._stopping:
            self._due.clear()
            try:
                self._once()
                self._backoff.reset()
                pause = 0.0 if self._session.lost.is_set() else self._interval
            except redis.RedisError as error:
                pause = min(self._backoff.pause(), self._interval)
                self._say(logging.WARNING, "the scheduler does not answer", error=error)
            except NotYetAdmitted as error:
                pause = self._backoff.pause()
                self._say(logging.INFO, "waiting to be admitted", error=error)
            except NotEnrolled as error:
                pause = max(self._backoff.pause(), self._interval)
                self._say(logging.ERROR, "registration refused", error=error)
            except Exception:
                # A node whose heart stops is declared dead; whatever this was, the next beat may do.
                pause = self._interval
                logger.exception("heartbeat failed node=%s", self._session.node)
            if pause:
                self._due.wait(pause)

    def _once(self) -> None:
        epoch = self._session.epoch
        if epoch is None:
            registration = self._session.register()
            self._say(logging.INFO, "registered", epoch=registration.epoch, jobs=len(registration.jobs))
            self._registered(registration.jobs)
            return
        with self._answers:
            self._asked += 1
            number = self._asked
        reply = self._session.scheduler.heartbeat(self._measure(epoch))
        if not reply.known:
            self._say(logging.WARNING, "the scheduler does not know this node", epoch=epoch)
            self._session.lose(epoch)
            return
        self._answered(reply)
        with self._answers:
            self._answered_count = number
            self._answers.notify_all()

    def _say(self, level: int, message: str, **fields: object) -> None:
        say(logger, level, message, node=self._session.node, **fields)
