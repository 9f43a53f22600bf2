"""The dispatcher: asks the scheduler for transfers, hands them to movers, and tells it how they ended.

One thread owns all that happens here; everybody else posts events. A call to the scheduler carries every report that
has come up since the last one and asks for as many transfers as there are free slots, so one round trip serves all
slots, and while one slot waits for it the others move bytes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import redis

from nodes.agent.book import JobBook
from nodes.agent.job import LocalJob, Stage
from nodes.agent.ledger import Ledger
from nodes.agent.log import say
from nodes.agent.mover import Mover
from nodes.agent.session import Backoff, Session
from nodes.agent.threads import ThreadPool
from nodes.agent.transfer import Transfer
from transfers.errors import CorruptShard, FdistError, StaleNode
from transfers.scheduler.types import Assignment

logger = logging.getLogger(__name__)

TOLD_WITHIN = 2.0  # seconds that the end of a transfer may wait to be told with that of another which follows it
NOTHING_PAUSE = 1.0  # seconds until we ask again after an answer with neither work nor a place among the waiting


@dataclass(frozen=True)
class Ended:
    """A mover is done."""

    transfer: Transfer


@dataclass(frozen=True)
class Assigned:
    """The scheduler has pushed work."""

    assignments: Sequence[Assignment]


@dataclass(frozen=True)
class Registered:
    """The scheduler knows us by a new epoch, and nothing of what it knew us by before."""

    epoch: int


@dataclass(frozen=True)
class Changed:
    """Look again: a job was opened, closed or deleted, or somebody said that there may be work."""


Event = Ended | Assigned | Registered | Changed


class Drain:
    """Moves whatever the scheduler gives this node until its jobs are done here, or nothing has come for a while.

    slots: gives the number of download slots and slots for the bucket together.
    """

    def __init__(
        self,
        session: Session,
        book: JobBook,
        mover: Mover,
        movers: ThreadPool,
        *,
        slots: Callable[[], int],
        idle_seconds: float,
    ) -> None:
        self._session = session
        self._scheduler = session.scheduler
        self._node = session.node
        self._book = book
        self._mover = mover
        self._movers = movers
        self._slots = slots
        self._idle_seconds = idle_seconds
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._guard = threading.Lock()
        self._stopping = False
        self._epoch: int | None = None  # the epoch of every lease that is held here
        self._lock = threading.Lock()  # for `_running` and `_followers`, which others read or change
        self._running: dict[tuple[str, int], Transfer] = {}
        self._deferred: dict[tuple[str, int], Assignment] = {}
        self._followers: dict[str, Assignment] = {}  # what begins when the transfer with this lease is over
        self._tell_at = 0.0  # until then the ledger's news may wait
        self._ledger = Ledger()
        self._parked = False
        self._retry_at = 0.0
        self._backoff = Backoff(0.05, 2.0)
        self._busy_at = 0.0

    @property
    def active(self) -> bool:
        """Whether a drain runs now."""
        return self._guard.locked()

    @property
    def parked(self) -> bool:
        """Whether a drain waits here for what the scheduler is to push."""
        return self.active and self._parked

    def post(self, event: Event) -> None:
        self._events.put(event)

    def held(self) -> list[Transfer]:
        """The transfers whose leases want renewing: those that run, and those that wait for a digest."""
        with self._lock:
            running = list(self._running.values())
        return running + self._ledger.waiting()

    def stop(self) -> None:
        """Take nothing more and stop the movers; `run` returns when they have. Takes no lock."""
        self._stopping = True
        self._events.put(Changed())

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no drain runs; False when one still does after `timeout` seconds."""
        if not self._guard.acquire(timeout=timeout):
            return False
        self._guard.release()
        return True

    def stop_leases(self, leases: Sequence[str]) -> None:
        """The scheduler has taken these leases back."""
        for transfer in self.held():
            if transfer.lease in leases:
                transfer.stop("cancelled")
        with self._lock:
            self._followers = {first: each for first, each in self._followers.items() if each.lease not in leases}

    def run(self) -> str:
        """Drain; gives why it ended. Only one runs at a time: another call wakes it and returns at once."""
        why = "draining already"
        while self._guard.acquire(blocking=False):
            try:
                why = self._run()
            finally:
                self._guard.release()
            if self._stopping or self._events.empty():
                return why
        self.post(Changed())
        return why

    def _run(self) -> str:
        self._parked = False
        self._busy_at = time.monotonic()
        while True:
            self._take_events()
            if self._stopping:
                for transfer in self._running.values():
                    transfer.stop("stopping")
                if not self._running:
                    self._tell_last()
                    return "stopping"
                continue
            self._ledger.settle()
            if self._may_call():
                self._next()
            why = self._finished()
            if why:
                self._unpark()
                if not self._running:  # unparking may have brought the last assignments
                    return why

    # --- events

    def _take_events(self) -> None:
        """Wait for the next event or the next thing that is due, then take all events that are there."""
        try:
            event = self._events.get(timeout=self._patience())
            while True:
                self._handle(event)
                event = self._events.get_nowait()
        except Empty:
            return

    def _patience(self) -> float:
        """Seconds until something is due without an event."""
        now = time.monotonic()
        dues = [now + self._idle_seconds]
        if not self._running and self._ledger.empty:
            dues.append(self._busy_at + self._idle_seconds + 0.01)
        if self._known() and self._wants_call():
            dues.append(self._retry_at)
        elif self._known() and self._ledger.has_news:
            dues.append(max(self._retry_at, self._tell_at))
        if self._ledger.settle_at is not None:
            dues.append(self._ledger.settle_at)
        return max(min(dues) - now, 0.0)

    def _handle(self, event: Event) -> None:
        match event:
            case Ended(transfer):
                self._on_ended(transfer)
            case Assigned(assignments):
                self._parked = False
                self._start_all(assignments, pushed=True)
            case Registered(epoch):
                self._on_registered(epoch)
            case Changed():
                self._parked = False
                if self._ledger.call is None:
                    self._retry_at = 0.0

    def _on_ended(self, transfer: Transfer) -> None:
        with self._lock:
            self._running.pop(transfer.key, None)
            follower = self._followers.pop(transfer.assignment.lease, None)
        self._busy_at = now = time.monotonic()
        if follower is None:
            self._tell_at = 0.0
        elif not self._ledger.has_news:
            self._tell_at = now + TOLD_WITHIN
        if transfer.lease is not None:
            self._ledger.add(transfer)
        else:
            self._announce(transfer)
        if follower is not None and transfer.ending is not None and transfer.ending.outcome == "ok":
            self._start(follower)
        elif follower is not None:
            self._refuse(follower, "what it was to follow failed")
        deferred = self._deferred.pop(transfer.key, None)
        if deferred is not None:
            self._start(deferred)

    def _on_registered(self, epoch: int) -> None:
        """What moves goes on without a lease; what is verified gets announced."""
        self._epoch = epoch
        for transfer in self.held():
            transfer.orphan()
        for transfer in self._ledger.forget():
            self._announce(transfer)
        self._deferred.clear()
        with self._lock:
            self._followers.clear()
        self._retry_at = self._tell_at = 0.0
        self._parked = False

    def _announce(self, transfer: Transfer) -> None:
        """A shard came to be here without a lease that could tell of it."""
        job, ending = transfer.job, transfer.ending
        if ending is not None and ending.crc is not None and transfer.shard in job.store.verified:
            job.add_late(transfer.shard, ending.crc)
            self._book.announce_late(job)

    # --- calls

    def _wants_call(self) -> bool:
        if self._ledger.has_news and (self._ledger.is_awaited or time.monotonic() >= self._tell_at):
            return True
        return not self._parked and self._free_slots() > 0 and self._has_open_job()

    def _known(self) -> bool:
        """Whether the scheduler knows us by the epoch that our leases are of."""
        return self._epoch is not None and self._epoch == self._session.epoch

    def _may_call(self) -> bool:
        return self._known() and time.monotonic() >= self._retry_at and self._wants_call()

    def _free_slots(self) -> int:
        return max(self._slots() - len(self._running), 0)

    def _has_open_job(self) -> bool:
        return any(job.stage is Stage.OPEN and job.announced == self._epoch for job in self._book.jobs())

    def _next(self) -> None:
        """One call: report all that ended, ask for all that fits, start what comes."""
        assert self._epoch is not None  # noqa: S101  (narrows the type; _may_call has looked)
        call = self._ledger.next_call(self._epoch, 0 if self._stopping else self._free_slots())
        try:
            reply = self._scheduler.next(self._node, call.epoch, call.reports, call.want, call.request_id)
        except StaleNode:
            self._session.lose(call.epoch)
            return
        except redis.RedisError as error:
            self._retry_at = time.monotonic() + self._backoff.pause()
            say(logger, logging.INFO, "next not answered", node=self._node, reports=len(call.reports), error=error)
            return
        self._backoff.reset()
        self._retry_at = 0.0
        verdicts = self._ledger.answered(reply)
        for transfer in verdicts.accepted:
            self._accept(transfer)
        for transfer in verdicts.rejected:
            self._reject(transfer)
        self._start_all(reply.assignments)
        self._parked = reply.parked
        if call.want and not reply.parked and not reply.assignments:
            self._retry_at = time.monotonic() + NOTHING_PAUSE
        # By the scheduler's count: another shard may have come meanwhile, of which it has still to be told.
        for job in {transfer.job for transfer in verdicts.accepted}:
            if job.id in reply.finished:
                self._close_if_complete(job)

    def _tell_last(self) -> None:
        """What was kept back for a call that will not come."""
        if self._ledger.has_news and self._known():
            self._next()

    def _accept(self, transfer: Transfer) -> None:
        if transfer.ending is None or transfer.ending.crc is None:
            return
        try:
            transfer.job.store.mark_verified(transfer.shard, transfer.ending.crc)
            transfer.job.confirmations += transfer.assignment.confirm
        except CorruptShard as error:  # dropped meanwhile: it will be assigned again
            self._say(logging.INFO, "shard gone before it was settled", transfer, error=error)

    def _reject(self, transfer: Transfer) -> None:
        self._say(logging.WARNING, "shard refused: its digest is not the recorded one", transfer)
        try:
            if transfer.key not in self._running:
                transfer.job.store.drop(transfer.shard)
        except FdistError as error:
            self._say(logging.ERROR, "shard not dropped", transfer, error=error)

    def _unpark(self) -> None:
        """Stop waiting; what was pushed meanwhile is started."""
        if self._epoch is None or not self._known():
            return
        try:
            self._start_all(self._scheduler.unpark(self._node, self._epoch), pushed=True)
        except StaleNode:
            self._session.lose(self._epoch)
        except redis.RedisError as error:
            say(logger, logging.INFO, "not unparked", node=self._node, error=error)

    # --- transfers

    def _start_all(self, assignments: Sequence[Assignment], *, pushed: bool = False) -> None:
        for assignment in assignments:
            if assignment.follows and any(each.lease == assignment.follows for each in self._running.values()):
                with self._lock:
                    self._followers[assignment.follows] = assignment
            else:
                self._start(assignment, pushed=pushed)

    def _start(self, assignment: Assignment, *, pushed: bool = False) -> None:
        self._busy_at = time.monotonic()
        key = (assignment.job, assignment.shard)
        running = self._running.get(key)
        if running is not None and running.lease is None and not running.stopped():
            running.adopt(assignment)
            return
        if running is not None:  # its lease has ended, so it is to stop; the new one starts when it has
            running.stop("replaced")
            self._deferred[key] = assignment
            return
        job = self._book.get(assignment.job)
        transfer = Transfer(assignment, job, pushed=pushed) if job is not None and job.prepared else None
        if job is None or transfer is None or self._stopping or not job.begin(transfer):
            self._refuse(assignment, "not wanted here")
            return
        with self._lock:
            self._running[key] = transfer
        self._mover.expect(transfer)
        self._movers.submit(lambda: self._carry(transfer))

    def _refuse(self, assignment: Assignment, why: str) -> None:
        self._ledger.refuse(assignment.lease, why)
        self._tell_at = 0.0  # its slots are free

    def _carry(self, transfer: Transfer) -> None:
        """In a mover's thread."""
        try:
            self._mover.carry(transfer)
        finally:
            transfer.job.end(transfer)
            self.post(Ended(transfer))

    def _close_if_complete(self, job: LocalJob) -> None:
        if job.stage is Stage.OPEN and job.prepared and job.store.complete:
            self._book.close(job)

    def _finished(self) -> str:
        """Why the drain may end now, or nothing."""
        if self._running or not self._ledger.empty:
            return ""
        if not self._book.unfinished():
            return "complete"
        if time.monotonic() - self._busy_at > self._idle_seconds:
            return "idle"
        return ""

    def _say(self, level: int, message: str, transfer: Transfer, **fields: object) -> None:
        say(logger, level, message, node=self._node, job=transfer.job.id, shard=transfer.shard, **fields)
