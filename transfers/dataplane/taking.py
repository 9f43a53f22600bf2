"""Takes bytes from files of other jobs on this node, and proves them by reading: no transfer, and nothing on trust."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from transfers.dataplane.folder import JobFolder
from transfers.dataplane.layout import Segment
from transfers.dataplane.placement import place_files
from transfers.dataplane.proof import prove_file
from transfers.dataplane.reuse import Donor, Donors, Reuse
from transfers.dataplane.room import MakeRoom
from transfers.dataplane.shardstate import ShardState
from transfers.dataplane.writer import ShardWriter
from transfers.errors import Cancelled

_FICLONE = 0x40049409  # linux/fs.h; Python has no name for it before 3.12
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.EMLINK, errno.ENOSYS}
_SHARED_MODE = 0o444  # who changes a file in place would change it for every job that shares it


class Taker:
    """Takes for one job what other jobs on this node have, if it may."""

    def __init__(self, folder: JobFolder, how: Reuse, make_room: MakeRoom) -> None:
        self._folder = folder
        self._how = how
        self._make_room = make_room
        self._known: Donors | None = None

    def forget(self) -> None:
        """Nothing more is wanted: let go of the other jobs' descriptions."""
        self._known = None

    def files(self, state: ShardState, files: Iterable[int], cancelled: Callable[[], bool] | None) -> set[int]:
        """Those of the files that other jobs have are put in their places; gives which. One read of each.

        Raises Cancelled, DiskFull or StoreError.
        """
        wanted = list(files)
        if self._how == "off" or not wanted:
            return set()
        donors, entries = self._donors(), self._folder.layout.files
        taken = {
            file
            for file in wanted
            if any(self._take(state, file, donor, cancelled) for donor in donors.of_file(entries[file]))
        }
        if taken:
            place_files(self._folder, state, sorted(taken))
        return taken

    def pieces(self, shard: int, digest: int) -> list[tuple[Donor, Segment]] | None:
        """Where the parts of a shard are that has this digest; None when they are not all here."""
        return None if self._how == "off" else self._donors().of_shard(self._folder.layout, shard, digest)

    def _donors(self) -> Donors:
        if self._known is None:
            self._known = Donors(self._folder.data_dir, self._folder.job)
        return self._known

    def _take(self, state: ShardState, file: int, donor: Donor, cancelled: Callable[[], bool] | None) -> bool:
        part = self._folder.part_path(file)
        with suppress(OSError):  # the other job was removed meanwhile, or the disk is full: as if it were not there
            part.unlink(missing_ok=True)
            if not (_reflink(donor.path, part) or (self._how == "link" and _link(donor.path, part))):
                # Opened first: room may be made by removing the very job that it comes from.
                with donor.path.open("rb") as given, self._make_room(self._folder.job, self._size(file)):
                    _copy(given.fileno(), part)
            if prove_file(self._folder, state, file, part, cancelled):
                return True
        part.unlink(missing_ok=True)
        return False

    def _size(self, file: int) -> int:
        return self._folder.layout.files[file].size


def copy_shard(pieces: list[tuple[Donor, Segment]], writer: ShardWriter, cancelled: Callable[[], bool]) -> int | None:
    """Writes a shard from the files that have its parts; gives its digest, None when one of them went meanwhile."""
    try:
        for donor, segment in pieces:
            with donor.path.open("rb", buffering=0) as file:
                _copy_slice(file.fileno(), segment, writer, cancelled)
    except OSError:
        return None
    return None if writer.remaining else writer.finish()


def _copy_slice(source: int, segment: Segment, writer: ShardWriter, cancelled: Callable[[], bool]) -> None:
    buffer = writer.buffer
    offset, end = segment.offset, segment.offset + segment.length
    while offset < end:
        if cancelled():
            raise Cancelled(f"taking shard {writer.shard} from another job's files was stopped")
        count = os.preadv(source, [buffer[: min(end - offset, len(buffer))]], offset)
        if not count:
            return
        writer.write(buffer[:count])
        offset += count


def _reflink(source: Path, part: Path) -> bool:
    """A file of its own that shares its blocks until one of both is written; not on every file system."""
    try:
        with source.open("rb") as given, part.open("xb") as taken:
            fcntl.ioctl(taken.fileno(), _FICLONE, given.fileno())
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def _link(source: Path, part: Path) -> bool:
    """A second name of the same file, which nobody is to change from now on."""
    try:
        part.hardlink_to(source)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    part.chmod(_SHARED_MODE)
    return True


def _copy(source: int, part: Path) -> None:
    with os.fdopen(os.dup(source), "rb") as given, part.open("xb") as taken:
        shutil.copyfileobj(given, taken, 1024 * 1024)
