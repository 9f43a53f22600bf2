"""Reading a shard from the bucket: ranges of pinned objects, taken up again at the byte reached when a read breaks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from typing import Protocol

from transfers.dataplane.gcs_range import Broken, RangeReader, object_name
from transfers.dataplane.gcs_session import GcsAccess, open_session
from transfers.dataplane.layout import Layout, OriginObject, Segment
from transfers.dataplane.ratelimit import Limiter, TokenBucket
from transfers.dataplane.writer import ShardWriter
from transfers.errors import Cancelled, SourceBusy

__all__ = ["GcsSource", "open_session"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 4.0  # between two tries; doubled each time, and anything between half and all of it

_SMALL = 1024 * 1024
"""Objects up to this size are read ahead, several at once: each costs a round trip of 30 ms or more to the bucket, and
a shard may be made of hundreds."""
_READ_AHEAD = 8


class _Sink(Protocol):
    def write(self, data: bytes) -> None: ...


class GcsSource:
    """Reads shards from the bucket; its threads may use it together.

    stall_after: seconds without a byte after which a read is broken off and tried again.
    min_rate: bytes a second, over such a time, below which the same happens.
    give_up_after: seconds of tries without a byte after which the bucket counts as busy.
    """

    def __init__(
        self,
        access: GcsAccess,
        *,
        stall_after: float = 4.0,
        min_rate: float = 16_000.0,
        give_up_after: float = 12.0,
    ) -> None:
        self._reader = RangeReader(access, stall_after, min_rate)
        self._give_up_after = give_up_after
        self._ahead = ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="gcs-ahead")

    def read_shard(
        self,
        layout: Layout,
        shard: int,
        writer: ShardWriter,
        *,
        bucket_limiter: Limiter | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> int:
        """Writes the shard from where the writer is to its end; gives the digest of the whole shard.

        Raises SourceChanged when the bucket no longer has an object as it was pinned, SourceRefused, SourceBusy when
        tries are used up, Cancelled, DiskFull or StoreError. What came stays with the writer.
        """
        limiter = bucket_limiter or TokenBucket()
        sink = _Counted(writer, on_bytes)
        ranges = list(_from_byte(layout.object_segments(shard), writer.received))
        at = 0
        while at < len(ranges):
            small = at
            while small < len(ranges) and ranges[small].length <= _SMALL:
                small += 1
            if small - at > 1:
                self._read_ahead(layout, ranges[at:small], sink, limiter, cancelled)
                at = small
            else:
                self._read(layout.objects[ranges[at].index], ranges[at], sink, limiter, cancelled)
                at += 1
        return writer.finish()

    def close(self) -> None:
        self._ahead.shutdown(wait=False, cancel_futures=True)

    def _read_ahead(
        self,
        layout: Layout,
        ranges: list[Segment],
        sink: _Sink,
        limiter: Limiter,
        cancelled: Callable[[], bool],
    ) -> None:
        """Reads many small ranges, `_READ_AHEAD` at a time, and writes them in their order."""
        stopped = False

        def fetch(part: Segment) -> bytearray:
            held = bytearray()
            collector = _Collector(held)
            self._read(layout.objects[part.index], part, collector, limiter, lambda: stopped or cancelled())
            return held

        waiting: list[Future[bytearray]] = []
        try:
            for part in chain(ranges, [None] * _READ_AHEAD):
                if part is not None:
                    waiting.append(self._ahead.submit(fetch, part))
                if waiting and (part is None or len(waiting) >= _READ_AHEAD):
                    sink.write(bytes(waiting.pop(0).result()))
        finally:
            stopped = True
            for future in waiting:
                future.cancel()

    def _read(
        self,
        origin: OriginObject,
        part: Segment,
        sink: _Sink,
        limiter: Limiter,
        cancelled: Callable[[], bool],
    ) -> None:
        """One range of one object, with as many requests as it takes."""
        done = 0
        pause = _FIRST_PAUSE
        last_byte = time.monotonic()
        while done < part.length:
            before = done
            try:
                start, left = part.offset + done, part.length - done
                with closing(self._reader.read(origin, start, left, limiter, cancelled)) as pieces:
                    for data in pieces:
                        sink.write(data)
                        done += len(data)
            except Broken as broken:
                now = time.monotonic()
                if done > before:
                    pause, last_byte = _FIRST_PAUSE, now
                wait = max(pause * random.uniform(0.5, 1.0), min(broken.retry_after, _LONGEST_PAUSE))  # noqa: S311
                if now + wait - last_byte > self._give_up_after:
                    raise SourceBusy(
                        f"{object_name(origin)} could not be read from byte {part.offset + done} on for "
                        f"{now - last_byte:.0f} s; the last time: {broken}"
                    ) from broken
                _sleep(wait, cancelled)
                pause = min(pause * 2, _LONGEST_PAUSE)


class _Counted:
    """A writer that tells of every amount that it has written."""

    def __init__(self, writer: ShardWriter, on_bytes: Callable[[int], None]) -> None:
        self._writer = writer
        self._on_bytes = on_bytes

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._on_bytes(len(data))


class _Collector:
    """A small object in memory."""

    def __init__(self, held: bytearray) -> None:
        self._held = held

    def write(self, data: bytes) -> None:
        self._held += data


def _from_byte(segments: list[Segment], offset: int) -> Iterator[Segment]:
    """The segments from a byte of their run to its end."""
    for segment in segments:
        if offset < segment.length:
            yield Segment(segment.index, segment.offset + offset, segment.length - offset)
        offset = max(offset - segment.length, 0)


def _sleep(seconds: float, cancelled: Callable[[], bool]) -> None:
    give_up = time.monotonic() + seconds
    while (left := give_up - time.monotonic()) > 0:
        if cancelled():
            raise Cancelled("the read from the bucket was stopped between two tries")
        time.sleep(min(left, 0.05))
