"""One shard on its way out: the kernel moves the bytes from the page cache to the socket, also while they arrive."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable

from transfers.dataplane import wire
from transfers.dataplane.catalog import OpenJob
from transfers.dataplane.ratelimit import TokenBucket

_STEP = 2 * 1024 * 1024  # most bytes of one sendfile: between two, a dropped shard and the cap are looked at
_POLL_SECONDS = 0.001
"""How often a reader of a shard that is still arriving looks for more. At 10 Gbit/s that is 1.2 MB, a good amount for
one sendfile; a wake-up through the kernel would save half of it and cost a call for each write of the receiver."""
_ENOUGH = 32 * 1024  # bytes of a shard that is still arriving that are worth a call
_GATHER_SECONDS = 0.005  # how long a few bytes wait for more: on a slow link each packet would cost a call otherwise
_HANG_UP_SECONDS = 0.1  # how often the waiting server looks whether the reader is still there


class UpstreamStopped(Exception):
    """No byte has arrived for too long: what was sent is good as far as it goes."""


class Dropped(Exception):
    """The shard was dropped while it was sent: what was sent is void."""


class Unreadable(Dropped):
    """Bytes that were verified here are gone from the disk, or it does not give them any more."""


class ShardSender:
    """Sends one shard from an offset to its end over a blocking socket whose send timeout is set.

    Raises UpstreamStopped, Dropped (Unreadable among them), or OSError when the reader is gone or takes nothing.
    """

    def __init__(
        self,
        job: OpenJob,
        shard: int,
        offset: int,
        *,
        limiter: TokenBucket,
        on_sent: Callable[[int], None],
        stall_after: float,
    ) -> None:
        self._job = job
        self._state = job.state
        self._shard = shard
        self._position = offset
        self._length = job.folder.layout.shard_range(shard)[1]
        self._epoch = job.state.epoch(shard)
        self._limiter = limiter
        self._on_sent = on_sent
        self._stall_after = stall_after

    def send(self, connection: socket.socket) -> None:
        for segment in self._job.segments_from(self._shard, self._position):
            # Before the first byte has arrived the file may not even be there.
            self._wait_for_more(connection)
            try:
                descriptor = self._job.folder.open_file(segment.index)
            except FileNotFoundError as error:
                raise Unreadable(str(error)) from error
            try:
                self._send_slice(connection, descriptor, segment.offset, segment.length)
            finally:
                os.close(descriptor)

    def _send_slice(self, connection: socket.socket, descriptor: int, offset: int, length: int) -> None:
        send_file = wire.file_sender(connection)
        while length:
            step = min(self._wait_for_more(connection), length, _STEP)
            if self._limiter.rate_bits:
                step = min(step, self._limiter.quantum)
                self._limiter.take(step)
            try:
                sent = send_file(descriptor, offset, step)
            except OSError as error:
                if error.errno == errno.EIO:
                    raise Unreadable(f"the disk does not give a file of shard {self._shard}") from error
                raise
            if not sent:
                raise Unreadable(f"a file of shard {self._shard} was cut short on the disk")
            self._on_sent(sent)
            self._position += sent
            offset += sent
            length -= sent

    def _wait_for_more(self, connection: socket.socket) -> int:
        """Bytes of the shard that can be sent now; waits until there are some."""
        state = self._state
        available = self._available()
        if available > 0:
            if available < min(_ENOUGH, self._length - self._position):
                time.sleep(_GATHER_SECONDS)
                available = self._available()
            return available
        now = time.monotonic()
        give_up, look = now + self._stall_after, now + _HANG_UP_SECONDS
        while available <= 0:
            time.sleep(_POLL_SECONDS)
            available = self._available()
            now = time.monotonic()
            if now >= give_up:
                raise UpstreamStopped(f"shard {self._shard} stopped at byte {state.received(self._shard)}")
            if now >= look:
                look = now + _HANG_UP_SECONDS
                _check_reader(connection)
        return available

    def _available(self) -> int:
        state = self._state
        received = state.received(self._shard)
        if state.closed or state.epoch(self._shard) != self._epoch:
            raise Dropped(f"shard {self._shard} was dropped on this node")
        return received - self._position


def _check_reader(connection: socket.socket) -> None:
    """Raises ConnectionError when the reader has closed its side."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    if poll.poll(0):
        raise ConnectionResetError("the reader is gone")
