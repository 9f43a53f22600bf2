"""Bytes of one shard on their way to their places in the job's files, summed as they pass."""

from __future__ import annotations

import os
import threading
from typing import Protocol

from transfers.dataplane.digest import combine_crc32c, crc32c
from transfers.dataplane.disk import disk_errors
from transfers.dataplane.folder import JobFolder
from transfers.dataplane.layout import Segment
from transfers.dataplane.shardstate import EMPTY, PARTIAL, RECEIVING, WHOLE, ShardState
from transfers.dataplane.writeback import push_and_close
from transfers.errors import Cancelled, StoreError

BUFFER_SIZE = 1024 * 1024
"""Measured on loopback: larger buffers leave the cache between the socket, the sum and the write; below 256 KiB the
calls begin to count. Receiving into mapped pages of the file was 20 to 40% slower than this and one write more."""

_buffers = threading.local()


class ShardOwner(Protocol):
    """The store that lent the writer its shard."""

    @property
    def folder(self) -> JobFolder: ...

    @property
    def state(self) -> ShardState: ...

    def release(self, shard: int) -> None: ...


class ShardWriter:
    """The only writer of one shard. Give it bytes in order with `write`, then call `finish` or `abort`."""

    def __init__(self, owner: ShardOwner, shard: int, offset: int) -> None:
        self.shard = shard
        self.received = offset
        self.length = owner.folder.layout.shard_range(shard)[1]
        self._owner = owner
        self._state = owner.state
        self._segments = owner.folder.layout.file_segments(shard)
        self._first = owner.state.first_segment[shard]
        self._descriptor = -1
        self._tainted = False
        self._done = False
        self._at = 0  # which segment is being written, and how much of it is there
        self._inside = offset
        while self._at < len(self._segments) and self._inside >= self._segments[self._at].length:
            self._inside -= self._segments[self._at].length
            self._at += 1
        if self.received < self.length:
            self._state.set_status(shard, RECEIVING)

    @property
    def remaining(self) -> int:
        return self.length - self.received

    @property
    def buffer(self) -> memoryview:
        """This thread's receive buffer: read into it, then `write` the part that was filled."""
        if not hasattr(_buffers, "view"):
            _buffers.view = memoryview(bytearray(BUFFER_SIZE))
        view: memoryview = _buffers.view
        return view

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sum the next bytes of the shard, put them in their files and tell who reads along.

        Raises DiskFull, StoreError, or Cancelled when the job was discarded meanwhile.
        """
        view = memoryview(data)
        if len(view) > self.remaining:
            raise StoreError(f"shard {self.shard} has {self.remaining} bytes to come, and {len(view)} were given")
        if self._state.closed:
            raise Cancelled(f"job {self._owner.folder.job} was discarded on this node")
        while len(view):
            segment = self._segments[self._at]
            piece = view[: segment.length - self._inside]
            try:
                self._put(segment, piece)
            except StoreError as error:
                if self._state.closed:
                    raise Cancelled(f"job {self._owner.folder.job} was discarded on this node") from error
                raise
            number = self._first + self._at
            before = self._state.segment_crc(number) if self._inside else 0
            self._state.set_segment_crc(number, crc32c(piece, before))
            view = view[len(piece) :]
            self._inside += len(piece)
            self.received += len(piece)
            if self._inside == segment.length:
                self._close_file()
                self._at += 1
                self._inside = 0
        self._state.set_received(self.shard, self.received)

    def finish(self) -> int:
        """The digest of the shard, all of which has arrived; it is served to others once `mark_verified` has it."""
        if self.remaining:
            raise StoreError(f"shard {self.shard} lacks {self.remaining} of its {self.length} bytes")
        self._state.set_status(self.shard, WHOLE)
        self._release()
        return shard_crc(self._state, self.shard, self._segments)

    def taint(self) -> None:
        """What arrived is not to be trusted: `abort` will not keep it."""
        self._tainted = True

    def abort(self, keep: bool = True) -> None:
        """Stop. keep: leave what arrived for a resume. Does nothing after `finish` or another `abort`."""
        if self._done:
            return
        if keep and not self._tainted:
            self._state.set_status(self.shard, PARTIAL if self.received else EMPTY)
        else:
            self._state.reset(self.shard)
        self._release()

    def _put(self, segment: Segment, piece: memoryview) -> None:
        if self._state.is_placed(segment.index):
            return  # The file is whole at its destination; its bytes come along with those of its neighbours.
        with disk_errors(self._owner.folder.data_dir, f"write shard {self.shard} of job {self._owner.folder.job}"):
            if self._descriptor < 0:
                self._descriptor = os.open(self._owner.folder.part_path(segment.index), os.O_WRONLY | os.O_CLOEXEC)
            offset = segment.offset + self._inside
            while len(piece):
                written = os.pwrite(self._descriptor, piece, offset)
                offset += written
                piece = piece[written:]

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            segment = self._segments[self._at]
            push_and_close(self._descriptor, segment.offset, self._inside)
            self._descriptor = -1

    def _release(self) -> None:
        self._done = True
        self._close_file()
        self._owner.release(self.shard)


def shard_crc(state: ShardState, shard: int, segments: list[Segment]) -> int:
    """The digest of a shard from those of its segments."""
    crc = 0
    for number, segment in enumerate(segments, state.first_segment[shard]):
        crc = combine_crc32c(crc, state.segment_crc(number), segment.length)
    return crc
