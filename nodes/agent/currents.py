"""Keeps each link `current` of this node where the coordinator wants it, as soon as that version is whole here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import redis

from nodes.agent.log import say
from nodes.inventory import Linked
from transfers.dataplane.current import VersionPlace
from transfers.dataplane.folder import is_job_id
from transfers.dataplane.shelf import KeptJob
from transfers.dataplane.store import Store
from transfers.errors import DiskFull, StoreError
from transfers.scheduler import Scheduler

logger = logging.getLogger(__name__)

LOOK_AFTER = 30.0  # seconds after which links are looked at, though nothing is known to have changed
AGAIN_AFTER = 2.0  # seconds until Redis is asked again after it did not answer


class CurrentLinks:
    """changed: called when a link was moved, or could not be. heard: with the revision that a heartbeat brought."""

    def __init__(self, store: Store, scheduler: Scheduler, node: str, changed: Callable[[], None]) -> None:
        self._currents = store.currents
        self._scheduler = scheduler
        self._node = node
        self._changed = changed
        self._lock = threading.Lock()  # one keeps at a time
        self._heard: str | None = None
        self._kept: str | None = None  # the revision that was followed last
        self._next_at = 0.0
        self._errors: dict[str, str] = {}

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next_at

    def heard(self, revision: str) -> None:
        if revision != self._heard:
            self._heard = revision
            self.soon()

    def soon(self) -> None:
        """A version may have become whole here."""
        self._next_at = 0.0

    def keep(self) -> None:
        """Point every link at what is wanted, where that is here; when Redis cannot be reached it stays due."""
        with self._lock:
            if not self.due:
                return
            # Before it is looked: what comes meanwhile makes it due again.
            self._next_at = time.monotonic() + LOOK_AFTER
            try:
                wanted = self._scheduler.currents()
            except redis.RedisError as error:
                self._next_at = time.monotonic() + AGAIN_AFTER
                say(logger, logging.INFO, "links not looked at", node=self._node, error=error)
                return
            before = dict(self._errors)
            self._errors = {base: why for base, why in before.items() if base in wanted.jobs}
            moved = [self._keep(base, job) for base, job in wanted.jobs.items() if is_job_id(job)]
            if any(moved) or before != self._errors:
                self._changed()

    def _keep(self, base: str, job: str) -> bool:
        """Whether the link was moved."""
        before = self._currents.number(base)
        try:
            there = self._currents.switch(base, job)
        except (StoreError, DiskFull) as error:
            if self._errors.get(base) != str(error):
                say(logger, logging.ERROR, "link not moved", node=self._node, job=job, folder=base, error=error)
            self._errors[base] = str(error)
            return False
        self._errors.pop(base, None)
        number = self._currents.number(base)
        if not there or number == before:
            return False
        say(logger, logging.INFO, "link moved", node=self._node, job=job, folder=base, version=number, before=before)
        return True

    def told(self, kept: Iterable[KeptJob]) -> dict[str, Linked]:
        """What each link names now, read from the disk, for the inventory. kept: the jobs that are here."""
        found: dict[str, Linked] = {}
        for each in kept:
            place = VersionPlace.of(each.destination)
            if place is None:
                continue
            base, error = place.base, self._errors.get(place.base, "")
            if self._currents.number(base) == place.number:
                found[base] = Linked(each.job, error)
            elif base not in found and (error or self._currents.exists(base)):
                found[base] = Linked("", error)
        return found
