"""Where on this node bytes are already, in files of other jobs, that a job needs.

A whole file is found by its size and the bucket's crc32c, whatever its name. A shard of a file that changed is found at
the same place of a file with the same name, and by its digest: a digest of 32 bits is too short to look for a shard
among all others, and long enough to tell whether the one shard that is likely to be the same is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transfers.dataplane.digest import combine_crc32c
from transfers.dataplane.folder import JobFolder
from transfers.dataplane.layout import Layout, PayloadFile, Segment
from transfers.dataplane.placement import is_untouched
from transfers.dataplane.shardstate import ShardState
from transfers.dataplane.shelf import Shelf

Reuse = Literal["link", "copy", "off"]
"""How it is taken. link: by reflink, else by hard link, else by a copy. copy: by reflink, else by a copy."""


@dataclass(frozen=True)
class Donor:
    """A file of another job, in its place as it was put there."""

    folder: JobFolder
    state: ShardState
    file: int

    @property
    def path(self) -> Path:
        return self.folder.final_path(self.file)

    @property
    def untouched(self) -> bool:
        return not self.state.closed and is_untouched(self.folder, self.state, self.file)

    def crc(self, offset: int, length: int) -> int | None:
        """The sum of a slice, by what is known of its parts; None when the file is not cut at its ends."""
        at, crc = 0, 0
        for shard, position, segment in self.folder.layout.segments_of_file(self.file):
            if at >= offset + length:
                break
            if offset <= at:
                number = self.state.first_segment[shard] + position
                crc = combine_crc32c(crc, self.state.segment_crc(number), segment.length)
            elif at + segment.length > offset:
                return None
            at += segment.length
        return crc if at == offset + length else None


class Donors:
    """The files of all jobs on this node but one."""

    def __init__(self, data_dir: Path, job: str) -> None:
        self._by_content: dict[tuple[int, int], list[Donor]] = defaultdict(list)
        self._by_name: dict[str, list[Donor]] = defaultdict(list)
        shelf = Shelf(data_dir)
        for name in shelf.names():
            if name == job:
                continue
            for folder, state, file in shelf.placed_files(name):
                donor, entry = Donor(folder, state, file), folder.layout.files[file]
                self._by_name[entry.name].append(donor)
                if entry.crc32c is not None:
                    self._by_content[entry.size, entry.crc32c].append(donor)

    def of_file(self, entry: PayloadFile) -> Iterator[Donor]:
        """Files with the same content as this one, by what is known of both."""
        if entry.crc32c is None or not entry.size:
            return
        for donor in self._by_content.get((entry.size, entry.crc32c), ()):
            if donor.untouched:
                yield donor

    def of_shard(self, layout: Layout, shard: int, digest: int) -> list[tuple[Donor, Segment]] | None:
        """Where the parts of a shard are that has this digest; None when they are not all here."""
        found: list[tuple[Donor, Segment]] = []
        whole = 0
        for segment in layout.file_segments(shard):
            for donor in self._by_name.get(layout.files[segment.index].name, ()):
                crc = donor.crc(segment.offset, segment.length) if donor.untouched else None
                if crc is not None:
                    found.append((donor, segment))
                    whole = combine_crc32c(whole, crc, segment.length)
                    break
            else:
                return None
        return found if whole == digest else None
