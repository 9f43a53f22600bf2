"""Connections to other nodes' shard servers: opened with patience, kept between shards."""

from __future__ import annotations

import errno
import select
import socket
import threading
import time
from collections.abc import Callable

from transfers.dataplane import tls, wire
from transfers.errors import Cancelled, PeerFailed

_LOOK_SECONDS = 0.1  # how long a read blocks before its reader looks whether it was cancelled
_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 60.0  # kept connections older than this are closed; the server keeps its end for twice as long
_KEPT_CONNECTIONS = 64  # in all; the oldest goes first


class ConnectionPool:
    """Kept connections, found by their address; safe for threads."""

    def __init__(self, *, tls_only: bool = False) -> None:
        self._tls_only = tls_only
        self._lock = threading.Lock()
        self._idle: list[tuple[str, float, socket.socket]] = []  # address, since when, connection; oldest first

    def take(
        self, address: str, cancelled: Callable[[], bool], patience: float, *, fresh: bool = False
    ) -> socket.socket:
        """A kept connection that is still quiet and open, or a new one (always, with `fresh`).

        Its reads give up after 100 ms with BlockingIOError. Raises PeerFailed("refused") or Cancelled.
        """
        while not fresh:
            with self._lock:
                at = next((i for i in reversed(range(len(self._idle))) if self._idle[i][0] == address), None)
                if at is None:
                    break
                _, since, connection = self._idle.pop(at)
            if time.monotonic() - since < _IDLE_SECONDS and not _is_readable(connection):
                return connection
            connection.close()
        return _open(address, cancelled, min(_CONNECT_SECONDS, patience), self._tls_only)

    def give_back(self, address: str, connection: socket.socket, *, keep: bool) -> None:
        """The transfer is over. keep: its answer was read to the end, so another request may follow."""
        # Something to read after the last byte of the answer is an end, or more than was asked for.
        if not keep or _is_readable(connection):
            connection.close()
            return
        with self._lock:
            self._idle.append((address, time.monotonic(), connection))
            surplus = self._idle[: max(len(self._idle) - _KEPT_CONNECTIONS, 0)]
            del self._idle[: len(surplus)]
        for _, _, old in surplus:
            old.close()

    def idle(self) -> list[socket.socket]:
        """The connections that wait for their next use."""
        with self._lock:
            return [connection for _, _, connection in self._idle]

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, _, connection in idle:
            connection.close()


def _open(address: str, cancelled: Callable[[], bool], patience: float, tls_only: bool) -> socket.socket:
    connection: socket.socket | None = None
    address, pin = tls.split_pin(address)
    if tls_only and not pin:
        raise PeerFailed(
            "untrusted",
            f"the node at {address} serves in plain text, and FDIST_PEER_TLS=required lets this node read by TLS alone",
        )
    try:
        host, port = wire.split_address(address)
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        connection = socket.socket(family, kind, protocol)
        _connect(connection, target, cancelled, patience)
        wire.tune(connection)
        if pin:
            connection = tls.connect(connection, address, pin, patience, cancelled)
        wire.set_patience(connection, socket.SO_RCVTIMEO, _LOOK_SECONDS)
        wire.set_patience(connection, socket.SO_SNDTIMEO, patience)
        opened, connection = connection, None
        return opened
    except (OSError, ValueError) as error:
        raise PeerFailed("refused", f"the node at {address} cannot be reached: {error}") from error
    finally:
        if connection is not None:
            connection.close()


def _connect(connection: socket.socket, target: object, cancelled: Callable[[], bool], patience: float) -> None:
    """Connects, looking every 100 ms whether that was cancelled. Raises OSError or Cancelled."""
    connection.setblocking(False)
    code = connection.connect_ex(target)  # type: ignore[arg-type]
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    give_up = time.monotonic() + patience
    while code == errno.EINPROGRESS:
        if poll.poll(_LOOK_SECONDS * 1000):
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        elif cancelled():
            raise Cancelled(f"connecting to {target} was stopped")
        elif time.monotonic() > give_up:
            code = errno.ETIMEDOUT
    if code:
        raise OSError(code, errno.errorcode.get(code, str(code)))
    connection.setblocking(True)


def _is_readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    return bool(poll.poll(0))
