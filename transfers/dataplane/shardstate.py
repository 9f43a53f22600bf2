"""The state file of one job on one node: what has arrived of every shard, live, for every process that maps it.

One process writes (the agent), others read (the shard server), with no locks: each field is one aligned word, written
after the bytes that it speaks of, and a reader that needs two fields reads `epoch` before and after.

Layout, native byte order:
    header    64 bytes   magic, counts, the layout's fingerprint, closed
    shards    32 bytes each   status u32, crc u32, received u64, epoch u32, 12 bytes unused
    files     32 bytes each   status u32, unused u32, size u64, mtime_ns u64, inode u64
    segments   4 bytes each   the CRC-32C of what has arrived of the segment, in shard order
"""

from __future__ import annotations

import mmap
import os
import struct
from itertools import accumulate
from pathlib import Path

from transfers.dataplane.layout import Layout
from transfers.errors import StoreError

# What has arrived of a shard. PARTIAL: some bytes, and nobody is writing. WHOLE: all bytes, not yet trusted.
EMPTY, PARTIAL, RECEIVING, WHOLE, VERIFIED = range(5)

# Where a file's bytes are: among the parts, or at its destination.
IN_PARTS, PLACED = range(2)

_MAGIC = b"fdist-1\n"
_HEADER = struct.Struct("=8sIIIIQ")  # magic, closed, shards, files, segments, fingerprint
_HEADER_SIZE = 64
_CLOSED_WORD = 2  # the header's word that says that the job is gone
_SHARD_SIZE = 32
_FILE_SIZE = 32


class ShardState:
    """The mapped state file. Segment numbers count over the whole job: `first_segment[shard]` is a shard's first."""

    def __init__(self, path: Path, layout: Layout, fingerprint: int, *, writable: bool) -> None:
        """Maps an existing file; raises StoreError when it is damaged or of another layout."""
        self.first_segment = first_segments(layout)
        self._shards = layout.shard_count
        self._files = len(layout.files)
        size = _file_size(self._shards, self._files, self.first_segment[-1])
        with path.open("r+b" if writable else "rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                raise StoreError(f"{path} is damaged: it should have {size} bytes")
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(file.fileno(), size, access=access)
        header = _HEADER.unpack_from(self._map)
        if header[0] != _MAGIC or header[2:] != (self._shards, self._files, self.first_segment[-1], fingerprint):
            raise StoreError(f"{path} is damaged, or belongs to another layout of this job")
        view = memoryview(self._map)
        files_at = _HEADER_SIZE + _SHARD_SIZE * self._shards
        self._words = view.cast("I")
        self._longs = view[: files_at + _FILE_SIZE * self._files].cast("Q")
        self._shard_words = _HEADER_SIZE // 4
        self._file_words = files_at // 4
        self._segment_words = (files_at + _FILE_SIZE * self._files) // 4

    @staticmethod
    def create(path: Path, layout: Layout, fingerprint: int) -> None:
        """Writes an empty state; a crash leaves the old file or the new one."""
        segments = first_segments(layout)[-1]
        size = _file_size(layout.shard_count, len(layout.files), segments)
        draft = path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(_HEADER.pack(_MAGIC, 0, layout.shard_count, len(layout.files), segments, fingerprint))
            # Real blocks, not a hole: a store into a mapped hole on a full disk would kill the process with SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
        draft.replace(path)

    @property
    def closed(self) -> bool:
        """Whether the job was discarded; whoever has the file mapped must let go of it."""
        return bool(self._words[_CLOSED_WORD])

    def close(self) -> None:
        self._words[_CLOSED_WORD] = 1

    def status(self, shard: int) -> int:
        return self._words[self._shard_words + shard * 8]

    def set_status(self, shard: int, status: int) -> None:
        self._words[self._shard_words + shard * 8] = status

    def crc(self, shard: int) -> int:
        """The verified shard's digest; without meaning for another."""
        return self._words[self._shard_words + shard * 8 + 1]

    def set_crc(self, shard: int, crc: int) -> None:
        self._words[self._shard_words + shard * 8 + 1] = crc

    def received(self, shard: int) -> int:
        """Bytes of the shard that are in its files, counted from its start."""
        return self._longs[(self._shard_words + shard * 8) // 2 + 1]

    def set_received(self, shard: int, received: int) -> None:
        self._longs[(self._shard_words + shard * 8) // 2 + 1] = received

    def epoch(self, shard: int) -> int:
        """Changes whenever bytes that had arrived are thrown away."""
        return self._words[self._shard_words + shard * 8 + 4]

    def reset(self, shard: int) -> None:
        """Forget what had arrived of a shard."""
        word = self._shard_words + shard * 8
        self._words[word + 4] = (self._words[word + 4] + 1) & 0xFFFFFFFF
        self.set_status(shard, EMPTY)
        self.set_received(shard, 0)
        for segment in range(self.first_segment[shard], self.first_segment[shard + 1]):
            self.set_segment_crc(segment, 0)

    def segment_crc(self, segment: int) -> int:
        return self._words[self._segment_words + segment]

    def set_segment_crc(self, segment: int, crc: int) -> None:
        self._words[self._segment_words + segment] = crc

    def is_placed(self, file: int) -> bool:
        return self._words[self._file_words + file * 8] == PLACED

    def identity(self, file: int) -> tuple[int, int, int]:
        """Size, mtime and inode that a placed file had when it was placed."""
        long = (self._file_words + file * 8) // 2
        return self._longs[long + 1], self._longs[long + 2], self._longs[long + 3]

    def set_placed(self, file: int, stat: os.stat_result) -> None:
        long = (self._file_words + file * 8) // 2
        self._longs[long + 1], self._longs[long + 2], self._longs[long + 3] = file_identity(stat)
        self._words[self._file_words + file * 8] = PLACED

    def clear_placed(self, file: int) -> None:
        self._words[self._file_words + file * 8] = IN_PARTS

    def sync(self) -> None:
        """Bring the state to the disk; a machine that loses power before loses only what `reverify` would refuse."""
        self._map.flush()


def first_segments(layout: Layout) -> list[int]:
    """The number of each shard's first segment in the whole job, and the count of all segments at the end."""
    counts = (len(layout.file_segments(shard)) for shard in range(layout.shard_count))
    return list(accumulate(counts, initial=0))


def file_identity(stat: os.stat_result) -> tuple[int, int, int]:
    """What tells a file that nobody touched from one that was changed or replaced."""
    return stat.st_size, stat.st_mtime_ns & 0xFFFFFFFFFFFFFFFF, stat.st_ino & 0xFFFFFFFFFFFFFFFF


def _file_size(shards: int, files: int, segments: int) -> int:
    return _HEADER_SIZE + _SHARD_SIZE * shards + _FILE_SIZE * files + 4 * segments
