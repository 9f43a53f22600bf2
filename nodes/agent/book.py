"""The jobs that this node knows, and which chores each needs next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nodes.agent.job import UNFINISHED, LocalJob, Stage
from nodes.agent.keeper import Keeper
from nodes.agent.log import say
from nodes.agent.session import Session
from nodes.agent.threads import ThreadPool
from transfers.dataplane.folder import is_job_id

logger = logging.getLogger(__name__)

REOPEN_AFTER = 5.0  # seconds; a heartbeat's answer may be a little older than the end of a job here


class JobBook:
    """Thread-safe; chores run in threads of `pool`, each job's at most one at a time of each kind."""

    def __init__(self, session: Session, keeper: Keeper, pool: ThreadPool) -> None:
        self._session = session
        self._keeper = keeper
        self._pool = pool
        self._lock = threading.Lock()
        self._jobs: dict[str, LocalJob] = {}
        self._queued: set[tuple[str, str]] = set()  # (chore, job) asked for and not started
        self._deleting: set[str] = set()  # a job that is wanted again meanwhile has to wait for the end of that

    def get(self, job: str) -> LocalJob | None:
        with self._lock:
            return self._jobs.get(job)

    def jobs(self) -> list[LocalJob]:
        with self._lock:
            return list(self._jobs.values())

    def unfinished(self) -> bool:
        """Whether some job may still have work for this node."""
        return any(job.stage in UNFINISHED for job in self.jobs())

    def want(self, wanted: Iterable[str]) -> None:
        """The scheduler counts these jobs as open and unfinished here; see that they are opened and announced."""
        epoch = self._session.epoch
        for name in wanted:
            job = None if name in self._deleting else self._find(name)
            if job is None:
                continue
            reopened = job.stage in (Stage.DONE, Stage.FAILED) and (
                job.announced != epoch or time.monotonic() - job.ended_at > REOPEN_AFTER
            )
            if reopened:
                job.announced = None
            if job.announced != epoch and job.stage is not Stage.CLOSING:
                self._queue("open", job, self._keeper.open)

    def retry_late(self) -> None:
        """Ask again for what could not be told to the scheduler."""
        epoch = self._session.epoch
        for job in self.jobs():
            if job.close_due and job.announced == epoch:
                self.close(job)

    def close(self, job: LocalJob) -> None:
        """Every shard of a job may be here now: check, place and tell."""
        job.close_due = True
        self._queue("close", job, self._keeper.close)

    def verify(self, job: LocalJob, shards: Sequence[int] | None = None) -> None:
        """Read all of a job, or these shards, and fetch anew what is damaged."""
        self._pool.submit(lambda: self._keeper.verify(job, shards))

    def announce_late(self, job: LocalJob) -> None:
        self._queue("announce", job, self._keeper.announce_late)

    def give_up(self, job: LocalJob, error: str) -> None:
        """This node cannot have the job: no more transfers for it, and the scheduler is told."""
        job.leave_for(Stage.FAILED)
        job.stop("given up")
        self._pool.submit(lambda: self._keeper.give_up(job, error))

    def fail(self, job: LocalJob, reason: str) -> None:
        """Nobody can have the job."""
        self._pool.submit(lambda: self._keeper.fail(job, reason))

    def obey(self, order: Mapping[str, Any]) -> None:
        """Carry out an order of the coordinator: cancel, purge, drop, verify, pin or unpin.

        A purge may be meant only for a node whose link `current` names other files ("unless_linked").
        """
        operation, name = order.get("op"), order.get("job")
        if not isinstance(name, str) or not is_job_id(name):
            say(logger, logging.ERROR, "order not understood", node=self._session.node, order=dict(order))
            return
        say(logger, logging.INFO, "order", node=self._session.node, job=name, op=operation)
        if operation in ("pin", "unpin"):
            self._pool.submit(lambda: self._keeper.pin(LocalJob(name), operation == "pin"))
            return
        if operation == "purge" and order.get("unless_linked") and self._keeper.is_linked(name):
            say(logger, logging.INFO, "not purged, it is current here", node=self._session.node, job=name)
            return
        job = self.get(name) or LocalJob(name)
        if operation in ("cancel", "purge"):
            with self._lock:
                self._jobs.pop(name, None)
                self._deleting.add(name)
            self._pool.submit(lambda: self._delete(job, placed_too=operation == "purge"))
        elif operation == "drop":
            shards = [int(shard) for shard in order.get("shards", ())]
            self._pool.submit(lambda: self._keeper.drop(job, shards))
        elif operation == "verify":
            self.verify(job, [int(shard) for shard in order["shards"]] if "shards" in order else None)
        else:
            say(logger, logging.ERROR, "order not understood", node=self._session.node, order=dict(order))

    def evict(self, name: str) -> bool:
        """Delete a job that has ended, with its files, and forget it; False when that cannot be done now."""
        with self._lock:
            if name in self._deleting:
                return False
            job = self._jobs.get(name) or LocalJob(name)
            self._deleting.add(name)
        try:
            gone = self._keeper.evict(job)
        finally:
            with self._lock:
                self._deleting.discard(name)
                if job.gone:
                    self._jobs.pop(name, None)
        return gone

    def _delete(self, job: LocalJob, *, placed_too: bool) -> None:
        try:
            self._keeper.delete(job, placed_too=placed_too)
        finally:
            with self._lock:
                self._deleting.discard(job.id)

    def _find(self, name: str) -> LocalJob | None:
        """The job of that name, entered in the book if it is new; None for what cannot be a job's name."""
        if not is_job_id(name):
            say(logger, logging.ERROR, "not a job's name", node=self._session.node, job=name)
            return None
        with self._lock:
            job = self._jobs.get(name)
            if job is None or job.gone:
                job = self._jobs[name] = LocalJob(name)
            return job

    def _queue(self, chore: str, job: LocalJob, run: Callable[[LocalJob], None]) -> None:
        """Have a chore run once, however often it is asked for before it starts."""
        key = (chore, job.id)
        with self._lock:
            if key in self._queued:
                return
            self._queued.add(key)

        def work() -> None:
            with job.chores:  # a chore asked for while this one waits for its turn is this one
                with self._lock:
                    self._queued.discard(key)
                run(job)

        self._pool.submit(work)
