"""Room for what is to come: within the node's quota and on its disk, by evicting what was wanted least lately."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from transfers.dataplane import parts
from transfers.dataplane.disk import free_bytes, gigabytes
from transfers.dataplane.shelf import KeptJob, Shelf
from transfers.errors import DiskFull

MakeRoom = Callable[[str, int], AbstractContextManager[None]]
"""Asked with a job and the bytes that it is about to take; these are kept for it until the block ends."""


def unlimited(job: str, need: int) -> AbstractContextManager[None]:
    """For whoever has no quota."""
    return nullcontext()


class Quota:
    """Holds a node's jobs within `quota` bytes, None for no limit.

    Without a quota nothing is ever evicted: a job that the disk cannot take is refused.
    is_open: whether a job is open, or cannot be known not to be. evict: deletes a job and its files; False when it
    could not be done now.
    """

    def __init__(
        self, data_dir: Path, quota: int | None, is_open: Callable[[str], bool], evict: Callable[[str], bool]
    ) -> None:
        self.quota = quota
        self._data_dir = data_dir
        self._shelf = Shelf(data_dir)
        self._is_open = is_open
        self._evict = evict
        self._lock = threading.Lock()

    @contextmanager
    def made(self, job: str, need: int) -> Iterator[None]:
        """Room for `need` bytes more of a job, kept for it until the block ends, by when they have to be taken.

        Raises DiskFull, and has evicted nothing then, when there cannot be enough.
        """
        if self.quota is None or not need:
            yield
            return
        with self._lock:
            self._make(job, need)
            yield

    def evictable(self, kept: list[KeptJob]) -> list[KeptJob]:
        """The jobs that may go and would make room, the one that was wanted least lately first."""
        free = [each for each in kept if each.size and not each.pinned and not self._is_open(each.job)]
        return sorted(free, key=lambda each: each.wanted_at)

    def _make(self, job: str, need: int) -> None:
        kept = self._shelf.jobs()
        candidates = [each for each in self.evictable(kept) if each.job != job]
        if self._lack(need) > sum(each.size for each in candidates):
            raise self._full(job, need, kept)
        for each in candidates:
            if self._lack(need) <= 0:
                return
            self._evict(each.job)
        if self._lack(need) > 0:
            raise self._full(job, need, self._shelf.jobs())

    def _lack(self, need: int) -> int:
        """How many bytes have to go before `need` more fit."""
        used = sum(each.size for each in self._shelf.jobs())
        beyond_quota = used + need - (self.quota or 0)
        beyond_disk = need + parts.RESERVE - free_bytes(self._data_dir)
        return max(beyond_quota, beyond_disk)

    def _full(self, job: str, need: int, kept: list[KeptJob]) -> DiskFull:
        others = [each for each in kept if each.job != job]
        pinned = sum(each.size for each in others if each.pinned)
        in_use = sum(each.size for each in others if not each.pinned and self._is_open(each.job))
        used = sum(each.size for each in kept)
        return DiskFull(
            f"job {job} needs {gigabytes(need)} more; the quota of this node is {gigabytes(self.quota or 0)} with "
            f"{gigabytes(used)} used, of which pinned jobs hold {gigabytes(pinned)} and open ones {gigabytes(in_use)}, "
            f"and {self._data_dir} has {gigabytes(free_bytes(self._data_dir))} free; unpin or purge a job, raise the "
            "quota or exclude the node"
        )
