"""Room on the disk for files that are to come, reserved all at once: a job that does not fit fails at its start."""

from __future__ import annotations

import os
from pathlib import Path

from transfers.dataplane.disk import disk_errors, free_bytes, gigabytes
from transfers.dataplane.folder import JobFolder
from transfers.errors import DiskFull, StoreError

RESERVE = 64 * 1024 * 1024
"""Bytes left free on the disk, for logs and for the state of other jobs."""


def exists(folder: JobFolder, file: int) -> bool:
    """Whether a file has its place among the parts."""
    try:
        return folder.part_path(file).stat().st_size == folder.layout.files[file].size
    except FileNotFoundError:
        return False


def reserve(folder: JobFolder, files: list[int]) -> None:
    """Makes the parts of some files with all their blocks, or raises DiskFull or StoreError and leaves none."""
    need = sum(folder.layout.files[file].size for file in files)
    free = free_bytes(folder.data_dir)
    if need and need + RESERVE > free:
        raise DiskFull(
            f"{folder.data_dir} has {gigabytes(free)} free and job {folder.job} needs {gigabytes(need)}; "
            "free some space or exclude the node"
        )
    made: list[Path] = []
    try:
        with disk_errors(folder.data_dir, f"reserve {gigabytes(need)} for job {folder.job}"):
            for file in files:
                made.append(folder.part_path(file))
                _allocate(made[-1], folder.layout.files[file].size)
    except (DiskFull, StoreError):
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _allocate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
