"""What the disk says when it will not: errors of the system turned into the project's, with the numbers in them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from transfers.errors import DiskFull, FdistError, StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def gigabytes(size: int) -> str:
    """A size for people: "91.2 GB", or in MB where that would be "0.0 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 100_000_000 else f"{size / 1e6:.2f} MB"


def free_bytes(path: Path) -> int:
    """Bytes that a process without privileges can still write on the file system of `path`."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def total_bytes(path: Path) -> int:
    stat = os.statvfs(path)
    return stat.f_blocks * stat.f_frsize


def in_memory(path: Path) -> bool:
    """Whether the file system of `path` is a tmpfs; False where that cannot be known."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    # See proc(5): the third field is the device, and the first after " - " the kind of file system.
    return any(line.split()[2] == wanted and line.partition(" - ")[2].startswith("tmpfs ") for line in lines)


@contextlib.contextmanager
def disk_errors(folder: Path, doing: str) -> Iterator[None]:
    """Turns an OSError into DiskFull or StoreError. doing: "write a shard of job 5f..", for the message."""
    try:
        yield
    except OSError as error:
        raise _translate(error, folder, doing) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translate(error: OSError, folder: Path, doing: str) -> FdistError:
    try:
        left = f"{gigabytes(free_bytes(folder))} of {gigabytes(total_bytes(folder))} free"
    except OSError:
        left = "no figures"
    if error.errno in _FULL:
        reason = "the file would pass a size limit" if error.errno == errno.EFBIG else "the disk is full"
        return DiskFull(f"cannot {doing}: {reason} ({left} at {folder}); free some space or exclude the node")
    if error.errno in _FORBIDDEN:
        return StoreError(f"cannot {doing}: {folder} is read-only for this process ({error.strerror})")
    return StoreError(f"cannot {doing}: {error.strerror or error} ({error.filename or folder}, {left})")
