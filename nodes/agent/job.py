"""One job as this node has it: its bytes, its standing with the scheduler, and the transfers that run for it."""

from __future__ import annotations

import enum
import json
import math
import threading
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nodes.agent.gaps import GapTrace
from transfers.dataplane.layout import Layout
from transfers.dataplane.store import JobStore, Store
from transfers.errors import PlanError, Tampered
from transfers.signing import open_signed

if TYPE_CHECKING:
    from nodes.agent.transfer import Transfer

PLAN_VERSION = 1
BAD_READS = 2  # of one shard from the bucket, until what it gives is taken to be what it has


class Stage(enum.Enum):
    """How far a job is on this node."""

    WANTED = "wanted"  # the scheduler wants it here; nothing is prepared
    OPEN = "open"  # prepared; shards come
    CLOSING = "closing"  # every shard is here; files are checked and put in their places
    DONE = "done"
    FAILED = "failed"
    GONE = "gone"  # cancelled or purged


UNFINISHED = (Stage.WANTED, Stage.OPEN, Stage.CLOSING)


class LocalJob:
    """A job in the agent's book.

    chores: held by whoever prepares, announces, closes or deletes the job, one at a time.
    announced: the epoch under which the scheduler knows what this node holds of the job.
    late: shards verified without a lease, to be announced.
    close_due: all shards were here, and the scheduler has not yet been told that the files are.
    confirmations: suspect shards that were read again here. disputes: by file, what was known when it was disputed.
    """

    def __init__(self, job: str) -> None:
        self.id = job
        self.stage = Stage.WANTED
        self.chores = threading.RLock()
        self.announced: int | None = None
        self.close_due = False
        self.confirmations = 0
        self.disputes: dict[int, tuple[int, dict[int, int]]] = {}
        self.ended_at = 0.0  # when it became done or failed
        self.started_at = time.monotonic()
        self.bytes_gcs = 0
        self.bytes_peers = 0
        self.failures = 0
        self.gaps = GapTrace()
        self._store: JobStore | None = None
        self._prepared = False
        self._digests: tuple[int, ...] = ()
        self._changed = threading.Condition()
        self._transfers: set[Transfer] = set()
        self._late: dict[int, int] = {}
        self._bad_reads: dict[int, int] = {}

    @property
    def store(self) -> JobStore:
        if self._store is None:
            raise ValueError(f"job {self.id} is not prepared yet")
        return self._store

    @property
    def prepared(self) -> bool:
        return self._prepared

    @property
    def gone(self) -> bool:
        return self.stage is Stage.GONE

    def at(self, stage: Stage) -> bool:
        """Whether it stands there now; other threads move it on."""
        return self.stage is stage

    def prepare(self, stores: Store, plan: Plan, stopping: threading.Event) -> None:
        """Make room, prove what an earlier run left. Raises DiskFull, StoreError or Cancelled."""

        def cancelled() -> bool:
            return self.gone or stopping.is_set()

        store = stores.create(self.id, plan.layout, plan.destination)
        store.prepare(cancelled)
        store.reverify(cancelled=cancelled)
        self._digests = plan.digests
        self._store = store
        self._prepared = True

    def check_digest(self, shard: int, digest: int | None) -> None:
        """Raises Tampered when the digest that Redis gives for a shard is not the one that the coordinator signed."""
        if digest is not None and self._digests and self._digests[shard] != digest:
            raise Tampered(
                f"Redis says that shard {shard} of job {self.id} has the crc32c {digest:08x}, and the coordinator "
                f"signed {self._digests[shard]:08x}: it was changed in Redis"
            )

    def may_read_again(self, shard: int) -> bool:
        """Counts a bad read of a shard from the bucket; False when there were too many."""
        with self._changed:
            self._bad_reads[shard] = self._bad_reads.get(shard, 0) + 1
            return self._bad_reads[shard] <= BAD_READS

    def begin(self, transfer: Transfer) -> bool:
        """A transfer starts; False when the job takes no more."""
        with self._changed:
            if self.stage is not Stage.OPEN:
                return False
            self._transfers.add(transfer)
            return True

    def end(self, transfer: Transfer) -> None:
        """A transfer is over, and its shard's writer closed."""
        with self._changed:
            self._transfers.discard(transfer)
            self._changed.notify_all()

    def stop(self, why: str, shards: Container[int] | None = None) -> set[Transfer]:
        """Ask the transfers of the job, or those of some shards, to stop; gives them."""
        with self._changed:
            asked = {t for t in self._transfers if shards is None or t.shard in shards}
            for transfer in asked:
                transfer.stop(why)
            return asked

    def wait_for(self, transfers: set[Transfer], timeout: float) -> bool:
        """Wait until these transfers are over; False when one still runs after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not transfers & self._transfers, timeout)

    def leave_for(self, stage: Stage) -> None:
        """Take no more transfers: the job goes on to `stage`."""
        with self._changed:
            self.stage = stage
            if stage in (Stage.DONE, Stage.FAILED):
                self.ended_at = time.monotonic()

    def reopen(self) -> None:
        with self._changed:
            if self.stage is not Stage.GONE:
                self.stage = Stage.OPEN if self.prepared else Stage.WANTED

    def put_away(self) -> None:
        """As if it had never been opened here; what is on the disk stays."""
        with self._changed:
            if self.stage is not Stage.GONE:
                self.stage, self.announced, self._prepared = Stage.WANTED, None, False

    def forget_end(self) -> None:
        """Open it as soon as the scheduler counts it as open, however lately it ended here."""
        self.ended_at = -math.inf

    def add_late(self, shard: int, crc: int) -> None:
        with self._changed:
            self._late[shard] = crc

    def take_late(self) -> dict[int, int]:
        with self._changed:
            late, self._late = self._late, {}
            return late


@dataclass(frozen=True)
class Plan:
    """What a job is. digests: of all its shards, as soon as they are proven, else empty."""

    layout: Layout
    destination: str
    digests: tuple[int, ...] = ()


def read_plan(job: str, text: str, coordinator_keys: Sequence[str] = ()) -> Plan:
    """A job's plan, as planning wrote it and the coordinator signed it; raises Tampered or PlanError."""
    body = open_signed(text, coordinator_keys, f"the plan of job {job}")
    try:
        plan = json.loads(body)
        version, planned_for, destination = plan["v"], plan["job"], plan["destination"]
        layout, digests = Layout.from_dict(plan["layout"]), tuple(plan.get("digests", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError("source", f"the plan of job {job} cannot be read: {error!r}") from error
    if version != PLAN_VERSION or planned_for != job:
        raise PlanError("source", f"the plan is of version {version} for job {planned_for}, and job {job} was asked")
    if digests and len(digests) != layout.shard_count:
        raise PlanError("source", f"the plan of job {job} has {len(digests)} digests for {layout.shard_count} shards")
    return Plan(layout, destination, digests)
