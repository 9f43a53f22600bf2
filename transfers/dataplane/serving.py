"""The shard server's connections: who asks for which shard, and whether it may have it."""

from __future__ import annotations

import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from transfers.dataplane import tls, wire
from transfers.dataplane.catalog import Catalog, OpenJob
from transfers.dataplane.ratelimit import TokenBucket
from transfers.dataplane.sending import Dropped, ShardSender, Unreadable, UpstreamStopped
from transfers.dataplane.shardstate import VERIFIED, WHOLE
from transfers.dataplane.tickets import check_ticket
from transfers.dataplane.uploads import Counters, Refusal, UploadSlots
from transfers.errors import BadTicket, NoSuchJob, StoreError
from transfers.logs import about

log = logging.getLogger(__name__)

_PATH = re.compile(r"/v1/jobs/([A-Za-z0-9_-]{1,64})/shards/(0|[1-9][0-9]{0,8})")
_RANGE = re.compile(r"bytes=(\d{1,15})-")
_REASONS = {200: "OK", 206: "Partial Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}
_REASONS |= {
    404: "Not Found",
    405: "Method Not Allowed",
    416: "Range Not Satisfiable",
    426: "Upgrade Required",
    503: "Service Unavailable",
}

_BACKLOG = 512
_MOST_CONNECTIONS = 2048
_IDLE_SECONDS = 120.0  # a kept connection without a request
_SEND_SECONDS = 15.0  # a reader that takes nothing
_JOB_POLL_SECONDS = 0.02
_HANDSHAKE_SECONDS = 10.0
_TRUST_SECONDS = 2.0  # the scheduler's word that a shard is right reaches those whom it sends here as soon as this node
_TRUST_POLL_SECONDS = 0.002


class ShardServer:
    """Serves the shards of one data directory, a thread a connection. `start` listens, `close` stops listening.

    identity: key and certificate as PEM, to serve by TLS and in no other way. unreadable: called with a job and a shard
    that was verified here and whose bytes the disk does not give any more.
    """

    def __init__(
        self,
        data_dir: Path,
        ticket_key: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rate_bits: int | None = None,
        max_uploads: int = 2,
        stall_after: float = 10.0,
        node: str = "",
        identity: str = "",
        unreadable: Callable[[str, int], None] = lambda job, shard: None,
    ) -> None:
        self.limiter = TokenBucket(rate_bits)
        self.clock_offset_ms = 0  # the scheduler's clock, by which tickets end, minus this machine's
        self.counters = Counters()
        self._catalog = Catalog(data_dir)
        self._key = ticket_key
        self._stall_after = stall_after
        self._node = node
        self._unreadable = unreadable
        self._slots = UploadSlots(max_uploads, self.counters)
        self._tls = tls.server_context(identity) if identity else None
        self._closing = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def close(self) -> None:
        """Accept nobody from now on; transfers that run go on."""
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # close() alone does not wake who is in accept()
        self._listener.close()

    def set_identity(self, pem: str) -> None:
        """Serve new connections with this key and certificate."""
        self._tls = tls.server_context(pem)

    def set_max_uploads(self, count: int) -> None:
        self._slots.resize(count)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._closing:
                    return
                log.warning("cannot accept a connection: %s", error)
                time.sleep(0.1)
                continue
            if self.counters.connections >= _MOST_CONNECTIONS:
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """One connection, for as long as the peer keeps it."""
        self.counters.add(connections=1)
        try:
            wire.tune(connection)
            if self._tls is not None:
                secured = tls.accept(connection, self._tls, _HANDSHAKE_SECONDS)
                if secured is None:
                    return
                connection = secured
            wire.set_patience(connection, socket.SO_RCVTIMEO, _IDLE_SECONDS)
            wire.set_patience(connection, socket.SO_SNDTIMEO, _SEND_SECONDS)
            waiting = bytearray()
            while True:
                head = _receive_head(connection, waiting)
                if head is None or not self._answer(connection, head):
                    break
        except wire.BadHead as error:
            with suppress(OSError):
                _refuse(connection, Refusal(400, str(error)))
        except tls.SpokePlainText as error:
            self.counters.add(refused=1)
            log.warning("refused a reader reason=%s", error)
            with suppress(OSError):
                _refuse(connection, Refusal(426, str(error)))
        except ssl.SSLError as error:
            self.counters.add(broken=1)
            log.info("a reader's TLS failed reason=%s", error.reason or error)
        except Dropped:
            self.counters.add(broken=1)
            wire.reset(connection)
        except (OSError, UpstreamStopped):
            self.counters.add(broken=1)
        finally:
            connection.close()
            self.counters.add(connections=-1)

    def _answer(self, connection: socket.socket, head: wire.Head) -> bool:
        """Serves one request; False when the connection must not be used again."""
        self.counters.add(requests=1)
        method, target, _ = head.first
        try:
            if method != "GET" or "content-length" in head.headers or "transfer-encoding" in head.headers:
                raise Refusal(405, "only GET without a body is served here")
            if target == "/healthz":
                _reply(connection, 200, json.dumps(self.counters.as_dict()).encode())
                return True
            match = _PATH.fullmatch(target)
            if match is None:
                raise Refusal(404, "there is nothing here")
            job, shard = match[1], int(match[2])
            self._check_ticket(head, job, shard)
            with (
                self._slots.taken(in_turn=not _cut_through(head)),
                about(node=self._node, job=job, shard=shard, reader=head.headers["x-fdist-node"]),
            ):
                try:
                    self._send(connection, head, job, shard)
                except (Dropped, OSError, UpstreamStopped) as error:
                    level = logging.WARNING if isinstance(error, Dropped) else logging.INFO
                    log.log(level, "a transfer ended early reason=%s", error)
                    if isinstance(error, Unreadable):
                        self._unreadable(job, shard)
                    raise
        except Refusal as refusal:
            self.counters.add(refused=1)
            _refuse(connection, refusal)
            return refusal.status != 405
        return head.headers.get("connection", "").lower() != "close"

    def _check_ticket(self, head: wire.Head, job: str, shard: int) -> None:
        scheme, _, ticket = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "ticket":
            raise Refusal(401, "a ticket is needed")
        now_ms = int(time.time() * 1000) + self.clock_offset_ms
        try:
            check_ticket(self._key, ticket, job, shard, head.headers.get("x-fdist-node", ""), now_ms)
        except BadTicket as error:
            raise Refusal(403, str(error)) from error

    def _send(self, connection: socket.socket, head: wire.Head, job: str, shard: int) -> None:
        cut_through = _cut_through(head)
        opened = self._find(job, self._stall_after if cut_through else 0)
        if shard >= opened.folder.layout.shard_count:
            raise Refusal(404, f"job {job} has {opened.folder.layout.shard_count} shards")
        verified = opened.state.status(shard) == VERIFIED or (not cut_through and _comes_to_be_trusted(opened, shard))
        if not verified and not cut_through:
            raise Refusal(404, f"shard {shard} is not verified on this node")
        length = opened.folder.layout.shard_range(shard)[1]
        offset = _range_start(head.headers.get("range"), length)
        headers: dict[str, str | int] = {"Content-Length": length - offset, "Accept-Ranges": "bytes"}
        headers["Content-Type"] = "application/octet-stream"
        if verified:
            headers["ETag"] = f'"{opened.state.crc(shard):08x}"'
        if "range" in head.headers:
            headers["Content-Range"] = f"bytes {offset}-{length - 1}/{length}"
        sender = ShardSender(
            opened,
            shard,
            offset,
            limiter=self.limiter,
            on_sent=lambda count: self.counters.add(sent=count),
            stall_after=self._stall_after,
        )
        status = 206 if "range" in head.headers else 200
        # The head goes out with the first bytes, unless those have not arrived yet.
        flags = socket.MSG_MORE if verified else 0
        connection.sendall(wire.make_head(f"HTTP/1.1 {status} {_REASONS[status]}", headers), flags)
        sender.send(connection)

    def _find(self, job: str, patience: float) -> OpenJob:
        """The job; where bytes are to be passed on as they arrive, the job itself may be about to arrive."""
        give_up = time.monotonic() + patience
        while True:
            try:
                return self._catalog.find(job)
            except NoSuchJob as error:
                if time.monotonic() >= give_up:
                    raise Refusal(404, str(error)) from error
            except StoreError as error:
                raise Refusal(503, str(error)) from error
            time.sleep(_JOB_POLL_SECONDS)


def _comes_to_be_trusted(opened: OpenJob, shard: int) -> bool:
    """Whether a shard that is all here is verified in a moment.

    A digest that was not known when a transfer began is judged by the scheduler, and with the judgement the next reader
    is on its way.
    """
    give_up = time.monotonic() + _TRUST_SECONDS
    while opened.state.status(shard) == WHOLE and time.monotonic() < give_up and not opened.state.closed:
        time.sleep(_TRUST_POLL_SECONDS)
    return opened.state.status(shard) == VERIFIED


def _receive_head(connection: socket.socket, waiting: bytearray) -> wire.Head | None:
    """The next request's head; None when the peer closed between two requests. `waiting` keeps what came too early."""
    while True:
        found = wire.find_head(waiting)
        if found is not None:
            del waiting[: found[1]]
            return found[0]
        try:
            data = connection.recv(wire.MAX_HEAD)
        except BlockingIOError:
            data = b""  # It had its time.
        if not data:
            if waiting:
                raise wire.BadHead("the request ends in its head")
            return None
        waiting += data


def _cut_through(head: wire.Head) -> bool:
    return head.headers.get("x-fdist-cut-through") == "1"


def _range_start(header: str | None, length: int) -> int:
    if header is None:
        return 0
    match = _RANGE.fullmatch(header.strip())
    if match is None or int(match[1]) >= length:
        raise Refusal(416, f"only a range that starts within the {length} bytes and goes to the end is served")
    return int(match[1])


def _reply(connection: socket.socket, status: int, body: bytes, kind: str = "application/json") -> None:
    headers: dict[str, str | int] = {"Content-Length": len(body), "Content-Type": kind}
    connection.sendall(wire.make_head(f"HTTP/1.1 {status} {_REASONS[status]}", headers) + body)


def _refuse(connection: socket.socket, refusal: Refusal) -> None:
    _reply(connection, refusal.status, f"{refusal}\n".encode(), "text/plain; charset=utf-8")
