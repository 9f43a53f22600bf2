"""Proving what is on the disk by reading it: after a restart, on demand, and for files that were there before."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from transfers.dataplane.digest import combine_crc32c, crc32c
from transfers.dataplane.folder import JobFolder
from transfers.dataplane.layout import Segment
from transfers.dataplane.placement import count_placed
from transfers.dataplane.shardstate import VERIFIED, ShardState
from transfers.dataplane.writer import shard_crc
from transfers.errors import Cancelled

_READ_SIZE = 1024 * 1024
_buffers = threading.local()


@dataclass(frozen=True)
class ShardProof:
    """What reading a shard showed. bad_files: files whose bytes are not what the state says, or are gone."""

    good: bool
    bad_files: tuple[int, ...] = ()


def prove_shard(folder: JobFolder, state: ShardState, shard: int, cancelled: Callable[[], bool] | None) -> ShardProof:
    """Reads what the state says has arrived of a shard and compares every segment's sum, and the shard's.

    Cost: one read of the shard, 1 MiB of memory. Raises Cancelled.
    """
    segments = folder.layout.file_segments(shard)
    left = state.received(shard)
    bad: list[int] = []
    for number, segment in enumerate(segments, state.first_segment[shard]):
        length = min(segment.length, left)
        left -= length
        if length and _segment_crc(folder, segment, length, cancelled) != state.segment_crc(number):
            bad.append(segment.index)
    summed_right = state.status(shard) != VERIFIED or (
        state.received(shard) == folder.layout.shard_range(shard)[1]
        and shard_crc(state, shard, segments) == state.crc(shard)
    )
    return ShardProof(not bad and summed_right, tuple(bad))


def adopt_file(folder: JobFolder, state: ShardState, file: int, cancelled: Callable[[], bool] | None = None) -> bool:
    """Takes a file that is already at its destination for the job's own, if it has the same content."""
    path = folder.final_path(file)
    try:
        seen = path.stat()
    except OSError:
        return False
    return prove_file(folder, state, file, path, cancelled) and count_placed(folder, state, file, seen)


def prove_file(
    folder: JobFolder, state: ShardState, file: int, path: Path, cancelled: Callable[[], bool] | None = None
) -> bool:
    """Whether `path` has the content of a file of the job; notes the sums of its segments then.

    The same content means: the size and the bucket's crc32c; or, where the bucket gave none, the sums of shards that
    this node had verified before (a node that died between the rename and the note of it). One read of the file.
    """
    if not _is_plain_file(path, folder.layout.files[file].size):
        return False
    expected = folder.layout.files[file].crc32c
    parts = folder.layout.segments_of_file(file)
    if expected is None and not all(state.status(shard) == VERIFIED for shard, _, _ in parts):
        return False
    sums: dict[int, int] = {}
    total = 0
    for shard, position, segment in parts:
        number = state.first_segment[shard] + position
        crc = _path_crc(path, segment.offset, segment.length, cancelled)
        if crc is None or (expected is None and crc != state.segment_crc(number)):
            return False
        sums[number] = crc
        total = combine_crc32c(total, crc, segment.length)
    if expected is not None and total != expected:
        return False
    for number, crc in sums.items():
        state.set_segment_crc(number, crc)
    return True


def credit_placed(folder: JobFolder, state: ShardState, shard: int) -> None:
    """Counts a shard as verified when every file that it has bytes of was adopted."""
    segments = folder.layout.file_segments(shard)
    if state.status(shard) == VERIFIED or not all(state.is_placed(segment.index) for segment in segments):
        return
    state.set_received(shard, folder.layout.shard_range(shard)[1])
    state.set_crc(shard, shard_crc(state, shard, segments))
    state.set_status(shard, VERIFIED)


def _segment_crc(folder: JobFolder, segment: Segment, length: int, cancelled: Callable[[], bool] | None) -> int | None:
    with suppress(OSError):
        descriptor = folder.open_file(segment.index)
        try:
            return _descriptor_crc(descriptor, segment.offset, length, cancelled)
        finally:
            os.close(descriptor)
    return None


def _path_crc(path: Path, offset: int, length: int, cancelled: Callable[[], bool] | None) -> int | None:
    with suppress(OSError), path.open("rb", buffering=0) as file:
        return _descriptor_crc(file.fileno(), offset, length, cancelled)
    return None


def _descriptor_crc(descriptor: int, offset: int, length: int, cancelled: Callable[[], bool] | None) -> int | None:
    """The sum of a slice of an open file; None when the file is too short."""
    if not hasattr(_buffers, "view"):
        _buffers.view = memoryview(bytearray(_READ_SIZE))
    view: memoryview = _buffers.view
    crc = 0
    os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_SEQUENTIAL)  # reads further ahead
    while length:
        if cancelled is not None and cancelled():
            raise Cancelled("proving the bytes on disk was stopped")
        count = os.preadv(descriptor, [view[: min(length, _READ_SIZE)]], offset)
        if not count:
            return None
        crc = crc32c(view[:count], crc)
        offset += count
        length -= count
    return crc


def _is_plain_file(path: Path, size: int) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and path.stat().st_size == size
    except OSError:
        return False
