"""Where every byte of a job belongs: files and bucket objects on one side, shards on the other.

The payload is the job's files laid end to end as one run of bytes. The bucket's objects, laid end to end, are the same
run. A shard is a slice of it, so many small files share a shard and a big file spans several.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from transfers.dataplane.names import check_names
from transfers.errors import PlanError

_VERSION = 1
_CRC_LIMIT = 1 << 32
_MOST_SHARDS = 1 << 22  # 256 TiB in shards of 64 MiB; a node keeps 36 bytes a shard


@dataclass(frozen=True, slots=True)
class OriginObject:
    """One object of the bucket, pinned by its generation. crc32c is of the whole object, None where unknown."""

    bucket: str
    name: str
    generation: int
    size: int
    crc32c: int | None = None


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """One file as a node will have it. name: relative posix path under the job's destination."""

    name: str
    size: int
    crc32c: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of one file or object. index: which one; offset: inside it, in bytes."""

    index: int
    offset: int
    length: int


@dataclass(frozen=True)
class Layout:
    """The map of a job's payload; raises PlanError when its parts do not fit together.

    shard_size: bytes of every shard but the last.
    cuts: instead of it, the end of every shard in the run, for a source that is cut already; None otherwise.
    """

    objects: tuple[OriginObject, ...]
    files: tuple[PayloadFile, ...]
    shard_size: int
    cuts: tuple[int, ...] | None = None
    size: int = field(init=False, compare=False)
    shard_count: int = field(init=False, compare=False)
    _object_starts: list[int] = field(init=False, compare=False, repr=False)
    _file_starts: list[int] = field(init=False, compare=False, repr=False)
    _file_ranks: list[int] = field(init=False, compare=False, repr=False)  # files with bytes before each file

    def __post_init__(self) -> None:
        check_names([file.name for file in self.files])
        for origin in self.objects:
            _check_object(origin)
        for file in self.files:
            _check_part(file)
        object_starts = list(accumulate((part.size for part in self.objects), initial=0))
        file_starts = list(accumulate((part.size for part in self.files), initial=0))
        size = file_starts[-1]
        if object_starts[-1] != size:
            raise PlanError("source", f"the objects hold {object_starts[-1]} bytes and the files need {size}")
        if self.shard_size <= 0:
            raise PlanError("shard_size", f"a shard cannot be {self.shard_size} bytes long")
        if self.cuts is not None:
            _check_cuts(self.cuts, size)
        set_field = object.__setattr__
        set_field(self, "size", size)
        set_field(self, "shard_count", -(-size // self.shard_size) if self.cuts is None else len(self.cuts))
        if self.shard_count > _MOST_SHARDS:
            raise PlanError("shard_size", f"{size} bytes in {self.shard_count} shards are too many; make them larger")
        set_field(self, "_object_starts", object_starts)
        set_field(self, "_file_starts", file_starts)
        set_field(self, "_file_ranks", list(accumulate((file.size > 0 for file in self.files), initial=0)))

    def shard_range(self, shard: int) -> tuple[int, int]:
        """Offset in the run and length of a shard."""
        if not 0 <= shard < self.shard_count:
            raise IndexError(f"shard {shard} is not one of the {self.shard_count}")
        if self.cuts is None:
            start = shard * self.shard_size
            return start, min(self.shard_size, self.size - start)
        start = self.cuts[shard - 1] if shard else 0
        return start, self.cuts[shard] - start

    def file_segments(self, shard: int) -> list[Segment]:
        """The parts of files that a shard is made of, in order; empty files have none."""
        return _segments(self._file_starts, *self.shard_range(shard))

    def object_segments(self, shard: int) -> list[Segment]:
        """The parts of bucket objects that a shard is made of, in order."""
        return _segments(self._object_starts, *self.shard_range(shard))

    def file_start(self, file: int) -> int:
        """Where a file begins in the run."""
        return self._file_starts[file]

    def shards_of_file(self, file: int) -> range:
        """The shards that hold bytes of a file; none for an empty file."""
        start, end = self._file_starts[file], self._file_starts[file + 1]
        if start == end:
            return range(0)
        return range(self._shard_at(start), self._shard_at(end - 1) + 1)

    def segments_of_file(self, file: int) -> list[tuple[int, int, Segment]]:
        """The parts that a file is cut into, in order: (shard, which of `file_segments(shard)` it is, the segment)."""
        found: list[tuple[int, int, Segment]] = []
        done = 0
        for shard in self.shards_of_file(file):
            start, length = self.shard_range(shard)
            position = 0
            if done == 0:
                first_file = bisect_right(self._file_starts, start) - 1
                position = self._file_ranks[file] - self._file_ranks[first_file]
            taken = min(start + length, self._file_starts[file + 1]) - (self._file_starts[file] + done)
            found.append((shard, position, Segment(file, done, taken)))
            done += taken
        return found

    def to_dict(self) -> dict[str, Any]:
        """The layout as JSON values, short: a job of 10,000 files is about 1 MB."""
        data: dict[str, Any] = {
            "v": _VERSION,
            "shard_size": self.shard_size,
            "objects": [[o.bucket, o.name, o.generation, o.size, o.crc32c] for o in self.objects],
            "files": [[f.name, f.size, f.crc32c] for f in self.files],
        }
        if self.cuts is not None:
            data["cuts"] = list(self.cuts)
        return data

    def to_json(self) -> str:
        """Canonical: equal layouts give equal text."""
        return json.dumps(self.to_dict(), separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_dict(cls, data: Any) -> Layout:
        """The layout that `to_dict` gave; raises PlanError for anything else."""
        try:
            if data["v"] != _VERSION:
                raise PlanError("source", f"the layout is of version {data['v']} and this program reads {_VERSION}")
            cuts = data.get("cuts")
            return cls(
                objects=tuple(OriginObject(*row) for row in data["objects"]),
                files=tuple(PayloadFile(*row) for row in data["files"]),
                shard_size=data["shard_size"],
                cuts=None if cuts is None else tuple(cuts),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise PlanError("source", f"the layout is damaged: {error!r}") from error

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """The layout that `to_json` gave; raises PlanError for anything else."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise PlanError("source", f"the layout is not JSON: {error}") from error
        return cls.from_dict(data)

    def _shard_at(self, offset: int) -> int:
        return offset // self.shard_size if self.cuts is None else bisect_right(self.cuts, offset)


def _segments(starts: Sequence[int], offset: int, length: int) -> list[Segment]:
    """The parts that the run's slice [offset, offset + length) crosses. starts: of each part, and the run's end."""
    found: list[Segment] = []
    index = bisect_right(starts, offset) - 1
    end = offset + length
    while offset < end:
        part_end = starts[index + 1]
        if part_end > offset:
            taken = min(part_end, end) - offset
            found.append(Segment(index, offset - starts[index], taken))
            offset += taken
        index += 1
    return found


def _check_part(part: OriginObject | PayloadFile) -> None:
    if not _is_count(part.size):
        raise PlanError("source", f"{part.name!r} has the size {part.size!r}")
    if part.crc32c is not None and not (_is_count(part.crc32c) and part.crc32c < _CRC_LIMIT):
        raise PlanError("source", f"{part.name!r} has the crc32c {part.crc32c!r}, which is not 32 bits")


def _check_object(origin: OriginObject) -> None:
    _check_part(origin)
    if not (isinstance(origin.bucket, str) and origin.bucket and isinstance(origin.name, str) and origin.name):
        raise PlanError("source", f"an object of the source has no bucket or no name: {origin!r}")
    if not _is_count(origin.generation):
        raise PlanError("source", f"gs://{origin.bucket}/{origin.name} has the generation {origin.generation!r}")


def _check_cuts(cuts: tuple[int, ...], size: int) -> None:
    if not all(_is_count(cut) for cut in cuts) or any(b <= a for a, b in pairwise((0, *cuts))):
        raise PlanError("source", "the shards of the manifest are not in order, or one is empty")
    if (cuts[-1] if cuts else 0) != size:
        raise PlanError("source", f"the shards end at byte {cuts[-1] if cuts else 0} and the payload has {size}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
