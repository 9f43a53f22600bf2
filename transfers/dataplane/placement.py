"""Whole files, checked and moved to where they belong; and back, when their bytes turn out to be damaged."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from transfers.dataplane.digest import combine_crc32c
from transfers.dataplane.disk import disk_errors, sync_folder
from transfers.dataplane.folder import JobFolder
from transfers.dataplane.shardstate import VERIFIED, ShardState, file_identity
from transfers.errors import StoreError

_FILE_MODE = 0o644
_SYNCS_AT_ONCE = 8

_names = threading.Lock()
"""Held for each step that looks at a file at its destination and then counts on what it saw: jobs may share a path, and
one must not remove what another has just put, or found, there."""


@dataclass(frozen=True)
class FileProblem:
    """A file that may not be placed: its bytes are not the bucket's, although each shard agreed with its digest.

    expected, actual: crc32c. shards: those that hold its bytes, one of which is guilty.
    """

    index: int
    name: str
    expected: int
    actual: int
    shards: range

    def __str__(self) -> str:
        return (
            f"{self.name} has the crc32c {self.actual:08x} and the bucket says {self.expected:08x}; "
            f"it was not placed, one of its {len(self.shards)} shards is wrong"
        )


def check_way(folder: JobFolder) -> None:
    """Raises StoreError when files could not be placed in the end: said before a byte moves, not after all did."""
    base = folder.data_dir / folder.destination
    names = [file.name for file in folder.layout.files]
    there = {above for above in {name.rpartition("/")[0] for name in names} if _is_usable(base / above, folder)}
    for name in names:
        if name.rpartition("/")[0] in there and (base / name).is_dir():
            raise StoreError(f"{base / name} is a folder, and job {folder.job} has a file of that name")


def _is_usable(path: Path, folder: JobFolder) -> bool:
    """Whether a folder is there; raises StoreError when it cannot be made, or is of no use."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if path != folder.data_dir:
            _is_usable(path.parent, folder)
        return False
    except NotADirectoryError:
        return _is_usable(path.parent, folder)
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{path} is a file, and job {folder.job} has files below that name")
    if found.st_dev != folder.data_dir.stat().st_dev:
        raise StoreError(f"{path} is on another disk than {folder.data_dir}; files cannot be moved there whole")
    return True


def is_ready(folder: JobFolder, state: ShardState, file: int) -> bool:
    """Whether every byte of a file is verified and the file still waits to be placed."""
    return not state.is_placed(file) and all(
        state.status(shard) == VERIFIED for shard in folder.layout.shards_of_file(file)
    )


def check_file(folder: JobFolder, state: ShardState, file: int) -> FileProblem | None:
    """Compares the sum of a file's segments with the bucket's; reads no byte."""
    expected = folder.layout.files[file].crc32c
    if expected is None:
        return None
    actual = 0
    for shard, position, segment in folder.layout.segments_of_file(file):
        crc = state.segment_crc(state.first_segment[shard] + position)
        actual = combine_crc32c(actual, crc, segment.length)
    if actual == expected:
        return None
    shards = folder.layout.shards_of_file(file)
    return FileProblem(file, folder.layout.files[file].name, expected, actual, shards)


def wrong_within(folder: JobFolder, state: ShardState, shard: int) -> FileProblem | None:
    """The first file that lies whole within a shard and whose bytes, as they came, are not the bucket's."""
    files = folder.layout.files
    whole = (s.index for s in folder.layout.file_segments(shard) if s.length == files[s.index].size)
    return next((problem for file in whole if (problem := check_file(folder, state, file))), None)


def place_files(folder: JobFolder, state: ShardState, files: Iterable[int]) -> None:
    """Moves checked files to their destination, where each appears whole or not at all.

    A kill between any two steps leaves the old file (or none) or the whole new one: bytes and mode are on the disk
    before the rename, the new name is on the disk before it is noted, and a rename that was not noted is found again
    by `proof.adopt_file`. Calling it again goes on.
    """
    chosen = list(files)
    for file in chosen:
        if folder.final_path(file).is_dir():
            raise StoreError(f"{folder.final_path(file)} is a folder, and job {folder.job} has a file of that name")
    moved: dict[int, os.stat_result] = {}
    changed: dict[Path, None] = {}  # folders, in the order in which they were used
    with disk_errors(folder.data_dir, f"place the files of job {folder.job}"):
        try:
            _sync_files([folder.part_path(file) for file in chosen])
            for file in chosen:
                part, final = folder.part_path(file), folder.final_path(file)
                changed |= dict.fromkeys(_make_folder(final.parent, folder.data_dir))
                seen = part.stat()
                with _names:
                    part.rename(final)
                moved[file] = seen  # it may be gone again when the names are on the disk
        finally:
            for used in changed:
                sync_folder(used)
            for file, seen in moved.items():
                state.set_placed(file, seen)
        state.sync()


def count_placed(folder: JobFolder, state: ShardState, file: int, seen: os.stat_result) -> bool:
    """Notes that a file is in its place, if it still is the one that was `seen` there."""
    with _names:
        try:
            there = folder.final_path(file).stat()
        except OSError:
            return False
        if file_identity(there) != file_identity(seen):
            return False
        state.set_placed(file, there)
        return True


def take_back(folder: JobFolder, state: ShardState, file: int) -> bool:
    """Moves a placed file back among the parts, for repair; False when it is gone from its destination.

    Another file that was put in its place meanwhile is somebody else's, and stays.
    """
    with disk_errors(folder.data_dir, f"take back a file of job {folder.job}"):
        try:
            final, part = folder.final_path(file), folder.part_path(file)
            there = final.stat()
            if there.st_size != folder.layout.files[file].size or is_other(state, file, there):
                return False
            # Repaired as it is, it would change under the jobs that share it; and it may not be ours to write.
            if there.st_nlink > 1 or not _may_write(final):
                _copy_whole(final, part)
                _unlink_if(final, lambda now: file_identity(now) == file_identity(there))
                return True
            with _names:
                if is_other(state, file, final.stat()):
                    return False
                final.rename(part)
            if part.stat().st_nlink > 1:  # a job has begun to share it meanwhile; under this name none can any more
                _copy_whole(part, part)
        except FileNotFoundError:
            return False
        finally:
            state.clear_placed(file)
    return True


def is_other(state: ShardState, file: int, there: os.stat_result) -> bool:
    """Whether a file at a destination is another than the one that was placed, and not the same with other bytes."""
    return there.st_ino != state.identity(file)[2]


def replaced_files(folder: JobFolder, state: ShardState) -> list[int]:
    """The files that this job has put in their places, where another file is by now."""
    found: list[int] = []
    for file in range(len(folder.layout.files)):
        if state.identity(file)[2]:
            with suppress(OSError):
                if is_other(state, file, folder.final_path(file).stat()):
                    found.append(file)
    return found


def is_untouched(folder: JobFolder, state: ShardState, file: int) -> bool:
    """Whether a placed file is still the one that was placed, by its size, time and inode."""
    try:
        return file_identity(folder.final_path(file).stat()) == state.identity(file)
    except OSError:
        return False


def remove_placed(folder: JobFolder, state: ShardState, others: Callable[[], Collection[Path]]) -> None:
    """Deletes the files that this job placed and nobody changed since, and the folders that this empties.

    others: gives the paths that other jobs on this node count on; these files stay, and go with the last such job.
    """
    parents: set[Path] = set()
    with disk_errors(folder.data_dir, f"purge job {folder.job}"), _names:
        wanted = others()
        for file in range(len(folder.layout.files)):
            if state.is_placed(file) and is_untouched(folder, state, file):
                final = folder.final_path(file)
                if final not in wanted:
                    final.unlink()
                    parents.add(final.parent)
                state.clear_placed(file)
    for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):  # Not empty: someone else's files are in it.
            while parent != folder.data_dir:
                parent.rmdir()
                parent = parent.parent


def _sync_files(paths: list[Path]) -> None:
    """Bytes and modes of files to the disk; several at once, so that a journal can write them down together."""
    if len(paths) == 1:
        _sync_file(paths[0])
        return
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(_sync_file, paths):
            pass


def _sync_file(path: Path) -> None:
    if path.stat().st_nlink > 1:
        return  # another job has it in place: it was synced for that one, and is read-only since
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # the last name of a file that was shared is read-only
    try:
        os.fchmod(descriptor, _FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(path: Path, top: Path) -> list[Path]:
    """Makes a folder and those above it; gives the folders whose list of names changes, deepest first."""
    changed = [path]
    missing = path
    while missing != top and not missing.exists():
        missing = missing.parent
        changed.append(missing)
    path.mkdir(parents=True, exist_ok=True)
    return changed


def _copy_whole(source: Path, part: Path) -> None:
    """Makes a copy of a file among the parts: whoever reads it meanwhile must not meet half of it."""
    draft = part.with_name(f"{part.name}.new")
    try:
        shutil.copyfile(source, draft)
        draft.chmod(_FILE_MODE)
        draft.rename(part)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _may_write(path: Path) -> bool:
    """Whether this process may write a file, which is made writable if it is ours."""
    if os.access(path, os.W_OK, effective_ids=True):
        return True
    try:
        path.chmod(_FILE_MODE)
    except PermissionError:
        return False
    return True


def _unlink_if(path: Path, same: Callable[[os.stat_result], bool]) -> None:
    with _names:
        if same(path.stat()):
            path.unlink()
