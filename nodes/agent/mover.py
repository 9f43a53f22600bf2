"""Carries one transfer out: gets the bytes, judges them, and says how it ended. Runs in a mover's thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nodes.agent.log import say
from nodes.agent.rates import Flows, Meter
from nodes.agent.session import Backoff
from nodes.agent.transfer import Ending, Transfer
from transfers.dataplane.layout import Layout
from transfers.dataplane.ratelimit import Limiter
from transfers.dataplane.shardstate import VERIFIED
from transfers.dataplane.store import ShardWriter
from transfers.errors import (
    Cancelled,
    CorruptShard,
    DiskFull,
    PeerFailed,
    SourceBusy,
    SourceChanged,
    SourceRefused,
    StoreError,
)
from transfers.logs import about

logger = logging.getLogger(__name__)

STALL_AFTER = 5.0  # seconds without a byte until a peer is given up
MIN_RATE = 16_000.0  # bit/s below which a peer counts as stalled
BUSY_PAUSE = 0.5  # seconds, growing to LONGEST_BUSY_PAUSE while the bucket keeps refusing
LONGEST_BUSY_PAUSE = 5.0  # stays below a lease's time without progress


class Bucket(Protocol):
    """Reads shards from the bucket (transfers.dataplane.gcs)."""

    def read_shard(
        self,
        layout: Layout,
        shard: int,
        writer: ShardWriter,
        *,
        bucket_limiter: Limiter,
        cancelled: Callable[[], bool],
        on_bytes: Callable[[int], None],
    ) -> int: ...


class Peers(Protocol):
    """Reads shards from other nodes (transfers.dataplane.peer)."""

    def read_shard(
        self,
        address: str,
        job: str,
        shard: int,
        ticket: str,
        dst: str,
        writer: ShardWriter,
        *,
        offset: int,
        limiter: Limiter,
        cancelled: Callable[[], bool],
        on_bytes: Callable[[int], None],
        stall_after: float,
        min_rate: float,
        cut_through: bool,
    ) -> None: ...


@dataclass(frozen=True)
class Line:
    """Where bytes come from, with the caps and the meter that they pass."""

    limiter: Limiter
    meter: Meter


class Mover:
    """Shared by all mover threads of a node.

    give_up: called with a job's transfer and a reason when this node cannot have the job at all.
    fail_job: the same when nobody can. ended: called with each transfer that has ended.
    """

    def __init__(
        self,
        node: str,
        bucket: Bucket,
        peers: Peers,
        *,
        bucket_line: Line,
        peer_line: Line,
        flows: Flows,
        give_up: Callable[[Transfer, str], None],
        fail_job: Callable[[Transfer, str], None],
        ended: Callable[[Transfer], None] | None = None,
    ) -> None:
        self._node = node
        self._bucket = bucket
        self._peers = peers
        self._bucket_line = bucket_line
        self._peer_line = peer_line
        self._flows = flows
        self._give_up = give_up
        self._fail_job = fail_job
        self._ended = ended
        self._bucket_backoff = Backoff(BUSY_PAUSE, LONGEST_BUSY_PAUSE)
        self._bucket_opens = 0.0  # before this moment nobody asks the bucket
        self._lock = threading.Lock()

    def carry(self, transfer: Transfer) -> None:
        """Move the shard; afterwards `transfer.ending` says how that went."""
        source = transfer.assignment.source or "gcs"
        with about(node=self._node, job=transfer.job.id, shard=transfer.shard, source=source):
            ending = self._outcome(transfer)
        transfer.end(ending)
        self._log(transfer, ending)
        if self._ended is not None:
            self._ended(transfer)

    def _outcome(self, transfer: Transfer) -> Ending:
        try:
            return self._move(transfer)
        except Cancelled:
            return Ending("cancelled", why=transfer.why_stopped)
        except CorruptShard as error:
            return Ending("corrupt", why="digest", error=str(error))
        except PeerFailed as error:
            return Ending("failed", why=error.why, error=str(error))
        except SourceBusy as error:
            self._shut_bucket()
            return Ending("failed", why="busy", error=str(error))
        except SourceChanged as error:
            self._fail_job(transfer, str(error))
            return Ending("failed", why="changed", error=str(error))
        except SourceRefused as error:
            self._give_up(transfer, str(error))
            return Ending("failed", why="refused", error=str(error))
        except (DiskFull, StoreError) as error:
            if transfer.stopped():  # the job's files are being deleted under us
                return Ending("cancelled", why=transfer.why_stopped, error=str(error))
            self._give_up(transfer, str(error))
            return Ending("failed", why="disk", error=str(error))
        except Exception as error:  # the slots must come free whatever happened
            logger.exception("transfer broke node=%s job=%s shard=%d", self._node, transfer.job.id, transfer.shard)
            return Ending("failed", why="error", error=repr(error))

    def _move(self, transfer: Transfer) -> Ending:
        store, shard = transfer.job.store, transfer.shard
        held = store.state.crc(shard) if store.state.status(shard) == VERIFIED else None
        if held is not None and not transfer.assignment.confirm and transfer.assignment.digest in (None, held):
            transfer.received = store.layout.shard_range(shard)[1]
            return Ending("ok", crc=held)
        if held is not None:
            store.drop(shard)
        offset = 0 if transfer.assignment.confirm else store.received(shard)
        crc = self._fetch(transfer, offset)
        if offset and self._disagrees(transfer, crc):
            # Part of the bytes came from somebody else, so nobody can be blamed yet.
            store.drop(shard)
            crc = self._fetch(transfer, 0)
        digest = transfer.assignment.digest
        if self._disagrees(transfer, crc):
            store.drop(shard)
            source = transfer.assignment.source or "the bucket"
            raise CorruptShard(f"shard {shard} from {source} has the crc32c {crc:08x} and should have {digest:08x}")
        if digest is not None or transfer.from_gcs:
            # Before the report: others are sent here for it the moment that the scheduler knows.
            store.mark_verified(shard, crc)
        return Ending("ok", crc=crc)

    @staticmethod
    def _disagrees(transfer: Transfer, crc: int) -> bool:
        """Whether the digest is known, now that the bytes are here, and another. What confirms is itself the proof."""
        digest = transfer.assignment.digest
        return digest is not None and crc != digest and not transfer.assignment.confirm

    def _fetch(self, transfer: Transfer, offset: int) -> int:
        """The digest of the shard after its bytes from `offset` on have been brought here."""
        store, shard, assignment = transfer.job.store, transfer.shard, transfer.assignment
        writer = store.writer(shard, offset)
        transfer.received = offset
        try:
            if writer.remaining and transfer.from_gcs:
                self._await_bucket(transfer)
                crc = self._bucket.read_shard(
                    store.layout,
                    shard,
                    writer,
                    bucket_limiter=self._bucket_line.limiter,
                    cancelled=transfer.stopped,
                    on_bytes=self._counter(transfer, self._bucket_line.meter),
                )
                self._bucket_backoff.reset()
                return crc
            if writer.remaining:
                self._peers.read_shard(
                    assignment.address or "",
                    assignment.job,
                    shard,
                    assignment.ticket or "",
                    self._node,
                    writer,
                    offset=offset,
                    limiter=self._peer_line.limiter,
                    cancelled=transfer.stopped,
                    on_bytes=self._counter(transfer, self._peer_line.meter),
                    stall_after=STALL_AFTER,
                    min_rate=MIN_RATE,
                    cut_through=assignment.cut_through,
                )
            return writer.finish()
        finally:
            writer.abort(keep=True)  # does nothing after `finish`

    def _counter(self, transfer: Transfer, meter: Meter) -> Callable[[int], None]:
        def count(amount: int) -> None:
            if transfer.first_byte is None:
                transfer.first_byte = time.monotonic()
                if transfer.lane_freed is not None:
                    transfer.job.gaps.add(transfer.first_byte - transfer.lane_freed, waited=transfer.lane_waited)
            transfer.received += amount
            transfer.moved += amount
            meter.add(amount)

        return count

    def _await_bucket(self, transfer: Transfer) -> None:
        """Hold back while the bucket has been refusing everybody here."""
        while (pause := self._bucket_opens - time.monotonic()) > 0:
            if transfer.stopped():
                raise Cancelled(f"the read of shard {transfer.shard} was cancelled before it began")
            time.sleep(min(pause, 0.1))

    def _shut_bucket(self) -> None:
        with self._lock:
            if time.monotonic() >= self._bucket_opens:
                self._bucket_opens = time.monotonic() + self._bucket_backoff.pause()

    def _log(self, transfer: Transfer, ending: Ending) -> None:
        job = transfer.job
        if transfer.from_gcs:
            job.bytes_gcs += transfer.moved
        else:
            job.bytes_peers += transfer.moved
            self._flows.add(transfer.assignment.source, transfer.moved, transfer.seconds)
        expected = ending.outcome in ("ok", "cancelled")
        job.failures += not expected
        say(
            logger,
            logging.DEBUG if expected else logging.WARNING,
            "transfer ended",
            node=self._node,
            job=job.id,
            shard=transfer.shard,
            source=transfer.assignment.source or "gcs",
            outcome=ending.outcome,
            bytes=transfer.moved,
            seconds=transfer.seconds,
            **({"why": ending.why, "error": ending.error} if not expected else {}),
        )
