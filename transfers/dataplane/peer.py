"""Reading a shard from another node: straight from the socket to the shard's place on the disk."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

from transfers.dataplane import wire
from transfers.dataplane.connections import ConnectionPool
from transfers.dataplane.pace import Pace
from transfers.dataplane.ratelimit import Limiter, TokenBucket
from transfers.dataplane.tls import split_pin
from transfers.dataplane.writer import ShardWriter
from transfers.errors import Cancelled, PeerFailed

_HEAD_READ = 64 * 1024
_LOW_WATER = 64 * 1024
_LOW_WATER_CUT_THROUGH = 32 * 1024
"""Bytes that must have come before a read wakes up (or 100 ms). On a real link they come in packets, and a wake-up for
each few of them would be most of the work; somebody who reads along wants them soon."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_WHY = {401: "ticket", 403: "ticket", 404: "missing", 426: "untrusted", 503: "busy"}


class NotHeld(PeerFailed):
    """The peer does not have the shard, or has not verified it."""


class _Stale(Exception):
    """A kept connection had been closed by the peer before it said anything: a new one is worth a try."""


class PeerClient:
    """Reads shards from other nodes over connections that are kept; its threads may use it together.

    tls_only: refuse nodes that serve in plain text.
    """

    def __init__(self, *, tls_only: bool = False) -> None:
        self._pool = ConnectionPool(tls_only=tls_only)

    def read_shard(
        self,
        address: str,
        job: str,
        shard: int,
        ticket: str,
        dst: str,
        writer: ShardWriter,
        *,
        offset: int = 0,
        limiter: Limiter | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_bytes: Callable[[int], None] = lambda count: None,
        stall_after: float = 10.0,
        min_rate: float = 0.0,
        cut_through: bool = False,
    ) -> None:
        """Writes the bytes of a shard from `offset` to its end; then `writer.finish()` has its digest.

        address: "host:port" of the shard server, with "#pin" where it is read by TLS (transfers.dataplane.tls).
        dst: this node's name, as the ticket has it.
        stall_after: seconds without a byte. min_rate: bytes a second that must come over such a time; 0 for no limit.
        cut_through: take bytes of a shard that the peer is still receiving itself.

        Raises PeerFailed (NotHeld among them) with what came so far in the writer, Cancelled, DiskFull or StoreError.
        """
        if not writer.remaining:
            return
        limiter = limiter or TokenBucket()
        place = split_pin(address)[0]
        request = _request(place, job, shard, ticket, dst, offset, cut_through)
        for fresh in (False, True):
            connection = self._pool.take(address, cancelled, stall_after, fresh=fresh)
            done = False
            try:
                transfer = _Transfer(connection, place, shard, writer, cancelled, stall_after)
                start = transfer.ask(request, offset, reused=not fresh)
                pace = Pace(stall_after, min_rate, f"node at {place}, shard {shard}")
                low_water = _LOW_WATER_CUT_THROUGH if cut_through else _LOW_WATER
                transfer.receive(start, low_water, limiter, pace, on_bytes)
                done = transfer.can_be_kept
                return
            except _Stale:
                continue
            except PeerFailed as error:
                done = error.why in ("missing", "busy", "ticket") and transfer.can_be_kept
                raise
            except ConnectionResetError as error:
                # The peer's server resets a transfer whose bytes turned out to be wrong.
                writer.taint()
                raise PeerFailed("reset", f"the node at {place} reset the transfer of shard {shard}") from error
            except OSError as error:
                raise PeerFailed("reset", f"the transfer of shard {shard} from {place} broke: {error}") from error
            finally:
                self._pool.give_back(address, connection, keep=done)

    def close(self) -> None:
        self._pool.close()


class _Transfer:
    """One request and its answer on one connection."""

    def __init__(
        self,
        connection: socket.socket,
        address: str,
        shard: int,
        writer: ShardWriter,
        cancelled: Callable[[], bool],
        stall_after: float,
    ) -> None:
        self.can_be_kept = False
        self._connection = connection
        self._address = address
        self._shard = shard
        self._writer = writer
        self._cancelled = cancelled
        self._stall_after = stall_after

    def ask(self, request: bytes, offset: int, *, reused: bool) -> memoryview:
        """Sends the request and reads the answer's head; gives the bytes of the body that came along with it."""
        try:
            self._connection.sendall(request)
        except OSError as error:
            if reused:
                raise _Stale from error
            raise self._failed("reset", f"closed the connection at once ({error.strerror})") from error
        buffer = self._writer.buffer
        filled = 0
        give_up = time.monotonic() + self._stall_after
        while True:
            try:
                count = self._connection.recv_into(buffer[filled : filled + _HEAD_READ])
            except BlockingIOError:
                self._look()
                if time.monotonic() > give_up:
                    raise self._failed("stalled", f"did not answer for {self._stall_after:.0f} s") from None
                continue
            except ConnectionError as error:
                if reused and not filled:
                    raise _Stale from error
                raise self._failed("reset", "reset the connection before it answered") from error
            if not count:
                if reused and not filled:
                    raise _Stale
                raise self._failed("short", "closed the connection before it answered")
            filled += count
            try:
                found = wire.find_head(bytes(buffer[: min(filled, wire.MAX_HEAD)]))
            except wire.BadHead as error:
                raise self._failed("garbage", f"does not speak our protocol: {error}") from error
            if found is not None:
                head, size = found
                self._check(head, offset, filled - size)
                return buffer[size:filled]

    def receive(
        self,
        start: memoryview,
        low_water: int,
        limiter: Limiter,
        pace: Pace,
        on_bytes: Callable[[int], None],
    ) -> None:
        """Reads the body to its end. `start`: what has come of it, at the head of the writer's buffer."""
        writer, connection = self._writer, self._connection
        buffer = writer.buffer
        data = start
        wire.set_low_water(connection, low_water)
        while True:
            if data:
                writer.write(data)
                on_bytes(len(data))
                pace.moved(len(data))
                if limiter.rate_bits:
                    began = time.monotonic()
                    limiter.take(len(data), self._cancelled)
                    pace.paused(time.monotonic() - began)
            if not writer.remaining:
                wire.set_low_water(connection, 1)
                self.can_be_kept = True
                return
            self._look()
            if writer.remaining < low_water:
                # The kernel does not wake a reader below the mark, not even for all that was asked for.
                low_water = 1
                wire.set_low_water(connection, low_water)
            step = limiter.quantum if limiter.rate_bits else len(buffer)
            try:
                count = connection.recv_into(buffer[: min(writer.remaining, step)])
            except BlockingIOError:
                data = buffer[:0]
                pace.waited()
                continue
            if not count:
                raise self._failed("short", f"ended the transfer {writer.remaining} bytes early")
            data = buffer[:count]

    def _check(self, head: wire.Head, offset: int, came: int) -> None:
        """Raises PeerFailed unless the answer is the rest of the shard, and nothing else."""
        version, status, _ = head.first
        length = head.headers.get("content-length", "")
        if not version.startswith("HTTP/1.1") or not status.isdigit() or not length.isdigit():
            raise self._failed("garbage", f"answered {' '.join(head.first)[:80]!r} without a length")
        if status not in ("200", "206"):
            self.can_be_kept = came == int(length)
            why = _WHY.get(int(status), "garbage")
            raise self._failed(why, f"refused it with status {status}")
        span = _CONTENT_RANGE.fullmatch(head.headers.get("content-range", ""))
        end = self._writer.length
        right_range = (status == "200" and not offset) or (
            span is not None and tuple(map(int, span.groups())) == (offset, end - 1, end)
        )
        if int(length) != end - offset or not right_range or came > end - offset:
            shown = head.headers.get("content-range", "no range")
            raise self._failed(
                "garbage", f"offers {length} bytes ({shown}) where bytes {offset} to {end - 1} were asked for"
            )

    def _look(self) -> None:
        if self._cancelled():
            raise Cancelled(f"the transfer of shard {self._shard} from {self._address} was stopped")

    def _failed(self, why: str, what: str) -> PeerFailed:
        kind = NotHeld if why == "missing" else PeerFailed
        return kind(why, f"the node at {self._address} was asked for shard {self._shard} and {what}")


def _request(address: str, job: str, shard: int, ticket: str, dst: str, offset: int, cut_through: bool) -> bytes:
    headers: dict[str, str | int] = {"Host": address, "Authorization": f"Ticket {ticket}", "X-Fdist-Node": dst}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    if cut_through:
        headers["X-Fdist-Cut-Through"] = "1"
    return wire.make_head(f"GET /v1/jobs/{job}/shards/{shard} HTTP/1.1", headers)
