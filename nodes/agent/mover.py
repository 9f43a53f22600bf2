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
from nodes.agent.turns import Turns
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
    Tampered,
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
    """Where bytes come from, with the caps and the meter that they pass, and the turns of those who ask for them."""

    limiter: Limiter
    meter: Meter
    turns: Turns


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

    def expect(self, transfer: Transfer) -> None:
        """`carry` follows, in another thread."""
        self._line(transfer).turns.queue(transfer)

    def carry(self, transfer: Transfer) -> None:
        """Move the shard; afterwards `transfer.ending` says how that went."""
        line = self._line(transfer)
        source = transfer.assignment.source or "gcs"
        try:
            with about(node=self._node, job=transfer.job.id, shard=transfer.shard, source=source):
                ending = self._outcome(transfer)
        finally:
            line.turns.leave(transfer)
        transfer.end(ending)
        transfer.job.gaps.over(transfer)
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
        except (SourceRefused, Tampered) as error:
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
        transfer.job.check_digest(shard, transfer.assignment.digest)
        held = store.state.crc(shard) if store.state.status(shard) == VERIFIED else None
        if held is not None and not transfer.assignment.confirm and transfer.assignment.digest in (None, held):
            transfer.received = store.layout.shard_range(shard)[1]
            return Ending("ok", crc=held)
        if held is not None:
            store.drop(shard)
        digest = transfer.assignment.digest
        if digest is not None and not transfer.assignment.confirm and store.take_shard(shard, digest, transfer.stopped):
            store.mark_verified(shard, digest)
            return Ending("ok", crc=digest)
        offset = 0 if transfer.assignment.confirm else store.received(shard)
        crc = self._fetch(transfer, offset)
        if offset and self._disagrees(transfer, crc):
            # Part of the bytes came from somebody else, so nobody can be blamed yet.
            store.drop(shard)
            crc = self._fetch(transfer, 0)
        if transfer.from_gcs:
            self._check_whole_files(transfer)
        if self._disagrees(transfer, crc):
            store.drop(shard)
            source = transfer.assignment.source or "the bucket"
            raise CorruptShard(f"shard {shard} from {source} has the crc32c {crc:08x} and should have {digest:08x}")
        if digest is not None or transfer.from_gcs:
            # Before the report: others are sent here for it the moment that the scheduler knows.
            store.mark_verified(shard, crc)
        return Ending("ok", crc=crc)

    def _line(self, transfer: Transfer) -> Line:
        return self._bucket_line if transfer.from_gcs else self._peer_line

    @staticmethod
    def _disagrees(transfer: Transfer, crc: int) -> bool:
        """Whether the digest is known, now that the bytes are here, and another. What confirms is itself the proof."""
        digest = transfer.assignment.digest
        return digest is not None and crc != digest and not transfer.assignment.confirm

    @staticmethod
    def _check_whole_files(transfer: Transfer) -> None:
        """Notices a bad read before its digest becomes the shard's, where the bucket's sum is of bytes in the shard.

        A shard that is read wrong again and again is passed on: then the file itself is disputed, which ends.
        """
        job, shard = transfer.job, transfer.shard
        problem = job.store.wrong_whole_file(shard)
        if problem is not None and job.may_read_again(shard):
            job.store.drop(shard)
            raise CorruptShard(f"shard {shard} from the bucket is wrong: {problem}")

    def _fetch(self, transfer: Transfer, offset: int) -> int:
        """The digest of the shard after its bytes from `offset` on have been brought here."""
        writer = transfer.job.store.writer(transfer.shard, offset)
        transfer.received = offset
        line = self._line(transfer)
        try:
            if not writer.remaining:
                return writer.finish()
            line.turns.take(transfer)
            try:
                return self._read(transfer, writer, line, self._counter(transfer, line, writer.length))
            finally:
                line.turns.leave(transfer)
        finally:
            writer.abort(keep=True)  # does nothing after `finish`

    def _read(self, transfer: Transfer, writer: ShardWriter, line: Line, count: Callable[[int], None]) -> int:
        """The digest of the shard after the rest of its bytes has been brought here."""
        assignment = transfer.assignment
        if transfer.from_gcs:
            self._await_bucket(transfer)
            crc = self._bucket.read_shard(
                transfer.job.store.layout,
                transfer.shard,
                writer,
                bucket_limiter=line.limiter,
                cancelled=transfer.stopped,
                on_bytes=count,
            )
            self._bucket_backoff.reset()
            return crc
        self._peers.read_shard(
            assignment.address or "",
            assignment.job,
            transfer.shard,
            assignment.ticket or "",
            self._node,
            writer,
            offset=writer.received,
            limiter=line.limiter,
            cancelled=transfer.stopped,
            on_bytes=count,
            stall_after=STALL_AFTER,
            min_rate=MIN_RATE,
            cut_through=assignment.cut_through,
        )
        return writer.finish()

    @staticmethod
    def _counter(transfer: Transfer, line: Line, length: int) -> Callable[[int], None]:
        next_one_asks = line.turns.counter(transfer, length)

        def count(amount: int) -> None:
            if transfer.first_byte is None:
                transfer.first_byte = time.monotonic()
                transfer.job.gaps.first_byte(transfer)
            transfer.received += amount
            transfer.moved += amount
            line.meter.add(amount)
            next_one_asks(amount)

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
            **transfer.trace(),
            **({"why": ending.why, "error": ending.error} if not expected else {}),
        )
