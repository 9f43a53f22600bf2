"""Room on the disk for files that are to come, reserved all at once: a job that does not fit fails at its start.

In memory (tmpfs) a block is reserved by filling it with zeros, which takes 0.25 s a GB before the first byte can come,
and the byte fills it once more. There files are made with holes, and what others have still to fill counts as taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transfers.dataplane.disk import disk_errors, free_bytes, gigabytes, in_memory
from transfers.dataplane.folder import JobFolder, jobs_dir
from transfers.errors import DiskFull, StoreError

BLOCK = 512  # bytes; the unit of st_blocks
RESERVE = 64 * 1024 * 1024
"""Bytes left free on the disk, for logs and for the state of other jobs."""


def exists(folder: JobFolder, file: int) -> bool:
    """Whether a file has its place among the parts."""
    try:
        return folder.part_path(file).stat().st_size == folder.layout.files[file].size
    except FileNotFoundError:
        return False


def drop_shared(folder: JobFolder, file: int) -> None:
    """Forgets a part that is another job's file as well, as a kill can leave it: nobody may write to it."""
    path = folder.part_path(file)
    with suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            path.unlink()


def reserve(folder: JobFolder, files: list[int]) -> None:
    """Makes the parts of some files with all their blocks, or raises DiskFull or StoreError and leaves none."""
    need = sum(folder.layout.files[file].size for file in files)
    memory = in_memory(folder.data_dir)
    free = free_bytes(folder.data_dir) - (_holes(folder.data_dir) if memory else 0)
    if need and need + RESERVE > free:
        raise DiskFull(
            f"{folder.data_dir} has {gigabytes(free)} free and job {folder.job} needs {gigabytes(need)}; "
            "free some space or exclude the node"
        )
    made: list[Path] = []
    allocate = _size if memory else _allocate
    try:
        with disk_errors(folder.data_dir, f"reserve {gigabytes(need)} for job {folder.job}"):
            for file in files:
                made.append(folder.part_path(file))
                allocate(made[-1], folder.layout.files[file].size)
    except (DiskFull, StoreError):
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _holes(data_dir: Path) -> int:
    """Bytes of all jobs' parts that are still to be filled."""
    holes = 0
    for path in jobs_dir(data_dir).glob("*/parts/*"):
        with suppress(FileNotFoundError):  # it has just been put in its place
            stat = path.stat()
            holes += max(stat.st_size - stat.st_blocks * BLOCK, 0)
    return holes


def _allocate(path: Path, size: int) -> None:
    with _new(path) as descriptor:
        if size:
            os.posix_fallocate(descriptor, 0, size)


def _size(path: Path, size: int) -> None:
    with _new(path) as descriptor:
        os.ftruncate(descriptor, size)


@contextmanager
def _new(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
