"""What is done to a whole job on this node: prepare, announce, close, delete, check again.

Each takes from milliseconds to minutes (a check reads everything), so none runs in the dispatcher; a job's chores
run one at a time. Where the scheduler cannot be reached a chore gives up, and the next heartbeat asks for it again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

import redis

from nodes.agent.job import UNFINISHED, LocalJob, Stage, read_plan
from nodes.agent.log import say
from nodes.agent.session import Session
from transfers.dataplane.store import FileProblem, Store
from transfers.errors import Cancelled, DiskFull, FdistError, NoSuchJob, PlanError, StaleNode, StoreError, Tampered

logger = logging.getLogger(__name__)

QUIET_TIMEOUT = 30.0  # seconds that movers get to stop; they look at each buffer
HOPELESS = (DiskFull, StoreError, PlanError, Tampered)  # this node cannot have the job, whoever asks again


class Keeper:
    """changed: called with a job whenever a chore has changed what the dispatcher may do for it.

    coordinator_keys: public keys, by one of which a plan has to be signed.
    """

    def __init__(
        self,
        session: Session,
        stores: Store,
        coordinator_keys: Sequence[str],
        stopping: threading.Event,
        changed: Callable[[LocalJob], None],
    ) -> None:
        self._session = session
        self._scheduler = session.scheduler
        self._node = session.node
        self._stores = stores
        self._coordinator_keys = coordinator_keys
        self._stopping = stopping
        self._changed = changed

    def open(self, job: LocalJob) -> None:
        """Prepare a job, if that is still to be done, and tell the scheduler what is here of it."""

        def chore(epoch: int) -> None:
            if not job.prepared:
                plan = self._scheduler.plan(job.id)
                if plan is None:
                    raise NoSuchJob(f"the scheduler has no plan of job {job.id}")
                job.prepare(self._stores, read_plan(job.id, plan, self._coordinator_keys), self._stopping)
                held = len(job.store.verified)
                self._say(logging.INFO, "job opened", job, shards=job.store.layout.shard_count, held=held)
            self._stores.shelf.want(job.id)
            job.take_late()  # all that is verified goes along
            self._announce(job, epoch, job.store.held())
            job.announced = epoch
            if job.stage is not Stage.OPEN:
                job.reopen()
            if job.store.complete:
                self._close(job, epoch)

        self._do(job, "open", chore)

    def announce_late(self, job: LocalJob) -> None:
        """Tell of shards that were verified without a lease."""

        def chore(epoch: int) -> None:
            if job.announced != epoch:
                return  # the announcement that is due tells all
            late = job.take_late()
            try:
                self._announce(job, epoch, late)
            except (redis.RedisError, FdistError):
                for shard, crc in late.items():
                    job.add_late(shard, crc)
                job.announced = None  # announce all of it, at the next heartbeat
                raise
            if job.store.complete:
                self._close(job, epoch)

        self._do(job, "announce", chore)

    def close(self, job: LocalJob) -> None:
        """Check the files against the bucket's digests and put them in their places; a wrong one is disputed."""
        self._do(job, "close", lambda epoch: self._close(job, epoch))

    def drop(self, job: LocalJob, shards: Iterable[int]) -> None:
        """The scheduler has found copies of these shards to be wrong: have it judge ours, and drop what it refuses.

        The order may come late, when the right bytes are here already; only their digest tells.
        """
        wanted = frozenset(shards)

        def chore(epoch: int) -> None:
            if not job.prepared or job.announced != epoch:
                return  # the announcement that is due tells all
            self._announce(job, epoch, {shard: crc for shard, crc in job.store.held().items() if shard in wanted})
            job.reopen()
            if job.store.complete:
                self._close(job, epoch)

        self._do(job, "drop", chore)

    def verify(self, job: LocalJob, shards: Sequence[int] | None = None) -> None:
        """Read everything again, or these shards; damaged ones are fetched anew.

        Where one of these is damaged, all of its files are read: they go back to their places by what is known of them.
        """
        with job.chores:
            if not job.prepared or job.gone:
                return
            layout, before = job.store.layout, job.store.verified
            chosen = range(layout.shard_count) if shards is None else [s for s in shards if 0 <= s < layout.shard_count]
            try:
                self._reverify(job, chosen)
                damaged = before - job.store.verified
                if shards is not None and damaged:
                    files = {segment.index for shard in damaged for segment in layout.file_segments(shard)}
                    self._reverify(job, sorted({shard for file in files for shard in layout.shards_of_file(file)}))
                    damaged = before - job.store.verified
            except (StoreError, DiskFull) as error:
                self._say(logging.ERROR, "job not verified", job, error=error)
                self._take_up_again(job)
                return
            level = logging.WARNING if damaged else logging.INFO
            self._say(level, "job verified", job, shards=len(chosen), damaged=sorted(damaged))
            if shards is None:
                job.forget_end()  # others may miss what is here, and the scheduler does not know of it any more
            if damaged:
                job.reopen()
                self._announce_anew()
        self._changed(job)

    def _announce_anew(self) -> None:
        """What a node holds can only grow under one epoch; a new one starts from what it announces."""
        self._session.lose(self._session.epoch)

    def _take_up_again(self, job: LocalJob) -> None:
        """Hold nothing of a job until it is prepared once more, which says to the scheduler what is wrong with it."""
        if not job.wait_for(job.stop("taken up again"), QUIET_TIMEOUT):
            self._say(logging.ERROR, "movers did not stop in time", job, seconds=QUIET_TIMEOUT)
        job.put_away()
        self._announce_anew()

    def _reverify(self, job: LocalJob, shards: Sequence[int]) -> None:
        job.store.reverify(shards, cancelled=lambda: job.gone or self._stopping.is_set())

    def is_linked(self, job: str) -> bool:
        """Whether a link `current` names the files of the job."""
        return self._stores.currents.is_linked(job)

    def _is_placed_version(self, job: LocalJob) -> bool:
        return self._stores.currents.is_version(job.id) and any(True for _ in self._stores.shelf.placed_files(job.id))

    def delete(self, job: LocalJob, *, placed_too: bool) -> None:
        """Stop the job here and delete its parts and its state; placed_too: its finished files as well.

        What is in place of a version stays whole, for a purge that knows what it is.
        """
        job.leave_for(Stage.GONE)  # before the lock: a chore that runs looks at it and gives up
        stopped = job.stop("cancelled")
        with job.chores:
            if not job.wait_for(stopped, QUIET_TIMEOUT):
                self._say(logging.ERROR, "movers did not stop in time", job, seconds=QUIET_TIMEOUT)
            try:
                if not placed_too and self._is_placed_version(job):
                    self._say(logging.INFO, "version not discarded, its files are in place", job)
                    return
                self._delete_files(job, placed_too=placed_too)
            except NoSuchJob:
                self._say(logging.INFO, "nothing to delete", job)
            except (StoreError, DiskFull) as error:
                self._say(logging.ERROR, "job not deleted", job, error=error)
            else:
                self._say(logging.INFO, "job purged" if placed_too else "job discarded", job)
        self._changed(job)

    def pin(self, job: LocalJob, pinned: bool) -> None:
        """Keep a job from eviction, or let it go again."""
        try:
            found = self._stores.shelf.pin(job.id, pinned)
        except (StoreError, DiskFull) as error:
            self._say(logging.ERROR, "job not pinned", job, error=error)
        else:
            self._say(logging.INFO, "job pinned" if pinned else "job unpinned", job, found=found)
        self._changed(job)

    def evict(self, job: LocalJob) -> bool:
        """Delete a job that has ended, to make room; False when it is in use, or nobody can be told."""
        if self.is_linked(job.id):
            return False
        # Whoever works on it may itself be waiting for room: so this must not wait.
        if not job.chores.acquire(blocking=False):
            return False
        try:
            if job.prepared and job.stage in UNFINISHED:
                return False
            self._scheduler.withdraw(job.id, [self._node])  # nobody is sent here for it from now on
            job.leave_for(Stage.GONE)
            self._delete_files(job, placed_too=True)
        except (redis.RedisError, FdistError) as error:
            self._say(logging.ERROR, "job not evicted", job, error=error)
            return False
        finally:
            job.chores.release()
        self._say(logging.INFO, "job evicted", job)
        return True

    def give_up(self, job: LocalJob, error: str) -> None:
        """This node cannot have the job: tell the scheduler why."""
        self._do(job, "give up", lambda epoch: self._give_up(job, epoch, error))

    def fail(self, job: LocalJob, reason: str) -> None:
        """The source itself is gone or another: end the job for everybody."""

        def chore(_epoch: int) -> None:
            self._say(logging.ERROR, "job cannot go on anywhere", job, error=reason)
            self._scheduler.fail_job(job.id, reason)

        self._do(job, "fail", chore)

    def _close(self, job: LocalJob, epoch: int) -> None:
        job.close_due = job.store.complete
        if not job.at(Stage.OPEN) or not job.close_due:
            return
        job.leave_for(Stage.CLOSING)
        try:
            problems = job.store.finish_files()
            if problems:
                job.reopen()  # the suspect shards may be assigned before the dispute is answered
                self._dispute(job, epoch, problems)
            elif not job.store.placed:  # a shard of it was dropped meanwhile: it is closed when that is here again
                job.reopen()
                return
            elif self._scheduler.finish(job.id, self._node, epoch):
                job.leave_for(Stage.DONE)
            else:
                job.reopen()
                job.announced = None  # what it lacks is told with the rest
            job.close_due = False
        finally:
            if job.at(Stage.CLOSING):
                job.reopen()
        if job.at(Stage.DONE):
            self._say_done(job)

    def _say_done(self, job: LocalJob) -> None:
        self._say(
            logging.INFO,
            "job done",
            job,
            bytes_gcs=job.bytes_gcs,
            bytes_peers=job.bytes_peers,
            failures=job.failures,
            seconds=job.ended_at - job.started_at,
        )
        self._say(logging.INFO, f"job handovers {job.gaps.summary()}", job)

    def _delete_files(self, job: LocalJob, *, placed_too: bool) -> None:
        store = job.store if job.prepared else self._stores.open(job.id)
        if placed_too:
            with self._stores.currents.leaving(job.id):
                store.purge()
        else:
            store.discard()

    def _announce(self, job: LocalJob, epoch: int, held: dict[int, int]) -> None:
        reply = self._scheduler.announce(job.id, self._node, epoch, held)
        dropped = [shard for shard in reply.rejected if job.store.drop_copy(shard, held[shard])]
        if dropped:
            self._say(logging.WARNING, "shards refused and dropped", job, shards=dropped)

    def _dispute(self, job: LocalJob, epoch: int, problems: list[FileProblem]) -> None:
        held = job.store.held()
        for problem in problems:
            digests = {shard: held[shard] for shard in problem.shards if shard in held}
            evidence = (job.confirmations, digests)
            if len(digests) < len(problem.shards) or job.disputes.get(problem.index) == evidence:
                continue  # being fetched anew, or told already: nothing has changed since
            self._say(logging.ERROR, "file is wrong", job, file=problem.name, error=problem)
            reply = self._scheduler.dispute(job.id, self._node, epoch, problem.index, problem.shards, digests)
            job.disputes[problem.index] = evidence
            if reply.state == "failed":
                job.leave_for(Stage.FAILED)

    def _give_up(self, job: LocalJob, epoch: int, error: str) -> None:
        job.stop("given up")
        job.leave_for(Stage.FAILED)
        self._say(logging.ERROR, "job failed here", job, error=error)
        try:
            self._scheduler.finish(job.id, self._node, epoch, error=error)
        except redis.RedisError:
            job.reopen()  # tried again, and told again
            job.announced = None
            raise

    def _do(self, job: LocalJob, what: str, chore: Callable[[int], None]) -> None:
        """Run a chore that speaks to the scheduler, and sort out how it can go wrong."""
        epoch = None
        try:
            with job.chores:
                epoch = self._session.epoch
                if job.gone or epoch is None or self._stopping.is_set():
                    return
                try:
                    chore(epoch)
                except HOPELESS as error:
                    self._give_up(job, epoch, str(error))
        except Cancelled:
            pass  # by us: the job is gone, or the agent stops
        except StaleNode:
            self._session.lose(epoch)
        except NoSuchJob as error:
            job.announced = None  # it may come back: the coordinator rebuilds what Redis lost
            if not job.prepared:
                job.leave_for(Stage.GONE)  # nothing here to come back to
            self._say(logging.INFO, f"could not {what}: the scheduler does not have the job", job, error=error)
        except redis.RedisError as error:
            self._say(logging.WARNING, f"could not {what}: the scheduler did not answer", job, error=error)
        self._changed(job)

    def _say(self, level: int, message: str, job: LocalJob, **fields: object) -> None:
        say(logger, level, message, node=self._node, job=job.id, **fields)
