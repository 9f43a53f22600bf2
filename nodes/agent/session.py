"""The agent's standing with the scheduler: its connections, its epoch, and how it gets a new one."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from nodes.agent.identity import MachineIdentity, NotYetAdmitted
from transfers.errors import NotEnrolled
from transfers.redis_login import Login, connection_options
from transfers.scheduler import Scheduler
from transfers.scheduler.types import NodeInfo, Registration

CONNECTIONS = 3  # the dispatcher, the heartbeat and one housekeeping call; the inbox has one of its own
SOCKET_TIMEOUT = 5.0
CONNECT_TIMEOUT = 3.0
POOL_TIMEOUT = 20.0


def connect(url: str, login: Login = "url") -> redis.Redis:
    """A client that never repeats a call by itself: who repeats a script does so knowingly, with its request id."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=POOL_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_keepalive=True,
        **connection_options(login),
    )
    return redis.Redis(connection_pool=pool)


class Backoff:
    """Growing pauses between tries, each with some chance in it, so that a fleet does not come back in step."""

    def __init__(self, first: float = 0.1, longest: float = 2.0) -> None:
        self.first = first
        self.longest = longest
        self._next = first

    def reset(self) -> None:
        self._next = self.first

    def pause(self) -> float:
        """Seconds to wait before the next try."""
        pause = self._next * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, keeps no secret)
        self._next = min(self._next * 2, self.longest)
        return pause


class Session:
    """Which start of the node the scheduler knows us as. `epoch` is None while it knows us as none.

    describe: gives the node as it is now, for each registration. identity: with which it asks to be let in, where no
    enrolment key was given to it.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        describe: Callable[[], NodeInfo],
        enrolment_key: str,
        identity: MachineIdentity | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.node = describe().name
        self._describe = describe
        self._enrolment_key = identity.secret if identity else enrolment_key
        self._identity = identity
        self._lock = threading.Lock()
        self._epoch: int | None = None
        self.lost = threading.Event()  # set while a registration is wanted
        self.lost.set()

    @property
    def epoch(self) -> int | None:
        return self._epoch

    def register(self) -> Registration:
        """Become known under a new epoch; raises NotEnrolled, or what the connection raises."""
        try:
            registration = self.scheduler.register(self._describe(), self._enrolment_key)
        except NotEnrolled as error:
            if self._identity is None:
                raise
            if self._identity.ask(self.scheduler):
                raise NotYetAdmitted(f"node {self.node} asked to be admitted by its machine's identity") from error
            raise
        with self._lock:
            self._epoch = registration.epoch
            self.lost.clear()
        return registration

    def lose(self, epoch: int | None) -> None:
        """The scheduler did not know `epoch`: register again, unless that has happened meanwhile."""
        with self._lock:
            if epoch == self._epoch:
                self._epoch = None
                self.lost.set()
