"""What this node keeps: within its quota, told to the coordinator, and given up for what is wanted now."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import redis

from nodes import inventory
from nodes.agent.book import JobBook
from nodes.agent.job import UNFINISHED
from nodes.agent.log import say
from nodes.inventory import Inventory, Kept, Linked
from transfers.dataplane.room import Quota
from transfers.dataplane.shelf import KeptJob, Shelf
from transfers.dataplane.store import Store
from transfers.scheduler import Scheduler

logger = logging.getLogger(__name__)

TELL_AFTER = 60.0  # seconds after which the inventory is told again, though nothing is known to have changed
PAUSE = 2.0  # seconds between two, at the least: taking it means a look at every file of what changed
LOOK_AFTER = 600.0  # seconds after which the files of a job that nobody here touched are looked at again
EVICTED_TOLD = 256


class Keeping:
    """caps: gives the caps that count by order. links: what each link `current` names, given the jobs that are here.

    clock: the scheduler's, in ms.
    """

    def __init__(
        self,
        store: Store,
        quota: int | None,
        book: JobBook,
        scheduler: Scheduler,
        client: redis.Redis,
        *,
        cell: str,
        node: str,
        caps: Callable[[], Mapping[str, int]],
        links: Callable[[Iterable[KeptJob]], Mapping[str, Linked]],
        clock: Callable[[], int],
    ) -> None:
        self._shelf = Shelf(store.data_dir, remember=LOOK_AFTER)
        self._book = book
        self._scheduler = scheduler
        self._client = client
        self._cell = cell
        self._node = node
        self._caps = caps
        self._links = links
        self._is_linked = store.currents.is_linked
        self._clock = clock
        self._quota = Quota(store.data_dir, quota, self._is_open, self._evict)
        self._evicted: deque[str] = deque(maxlen=EVICTED_TOLD)
        self._lock = threading.Lock()  # one tells at a time, so that the last word is the latest
        self._due = True
        self._told_at = 0.0
        store.make_room = self._quota.made

    @property
    def due(self) -> bool:
        """Whether the inventory is to be told."""
        return time.monotonic() - self._told_at > (PAUSE if self._due else TELL_AFTER)

    def changed(self, job: str | None = None) -> None:
        """Something of a job came, went or was pinned, or of any: tell it with one of the next heartbeats."""
        self._shelf.forget(job)
        self._due = True

    def tell_soon(self) -> None:
        """Something has changed besides the files."""
        self._due = True

    def tell(self) -> None:
        """Write the node's entry; when Redis cannot be reached it stays due."""
        with self._lock:
            if not self.due:
                return
            self._due = False
            try:
                inventory.put(self._client, self._cell, self._node, self._take())
            except redis.RedisError as error:
                self._due = True
                say(logger, logging.INFO, "inventory not told", node=self._node, error=error)
                return
            self._told_at = time.monotonic()

    def _take(self) -> Inventory:
        at, kept = self._clock(), self._shelf.jobs()
        may_go = self._quota.evictable(kept) if self._quota.quota is not None else []
        names = {each.job for each in may_go}
        return Inventory(
            at=at,
            quota=self._quota.quota,
            used=sum(each.size for each in kept),
            evictable=sum(each.size for each in may_go),
            jobs={
                each.job: Kept(each.size, each.pinned, each.whole, each.wanted_at, each.job in names) for each in kept
            },
            caps=self._caps(),
            evicted=tuple(self._evicted),
            links=self._links(kept),
        )

    def _is_open(self, job: str) -> bool:
        """Whether some node still works on the job, as far as can be known, or a link here names its files."""
        if self._is_linked(job):
            return True
        local = self._book.get(job)
        if local is not None and local.stage in UNFINISHED:
            return True
        try:
            return self._scheduler.job_state(job) in ("running", "paused")
        except redis.RedisError:
            return True

    def _evict(self, job: str) -> bool:
        if not self._book.evict(job):
            return False
        self._evicted.append(job)
        self.changed()
        return True
