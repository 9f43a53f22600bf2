"""The jobs on this node as the shard server sees them: mapped once, let go when the agent discards them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from transfers.dataplane.folder import JobFolder
from transfers.dataplane.layout import Segment
from transfers.dataplane.shardstate import ShardState
from transfers.errors import NoSuchJob

_KEPT = 64  # jobs that stay mapped


@dataclass(frozen=True)
class OpenJob:
    """A job's description and its live state."""

    folder: JobFolder
    state: ShardState
    inode: int

    def segments_from(self, shard: int, offset: int) -> list[Segment]:
        """The parts of files from a byte of a shard to its end."""
        found: list[Segment] = []
        for segment in self.folder.layout.file_segments(shard):
            if offset >= segment.length:
                offset -= segment.length
                continue
            found.append(Segment(segment.index, segment.offset + offset, segment.length - offset))
            offset = 0
        return found


class Catalog:
    """Finds jobs by their id; safe for threads."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._open: dict[str, OpenJob] = {}

    def find(self, job: str) -> OpenJob:
        """The job as it is now on the disk. Raises NoSuchJob, or StoreError when its state is damaged."""
        with self._lock:
            known = self._open.get(job)
        if known is not None and self._is_current(known):
            return known
        with self._lock:
            self._open.pop(job, None)
        folder = JobFolder.load(self._data_dir, job)
        try:
            inode = folder.state_path.stat().st_ino
            opened = OpenJob(folder, folder.open_state(writable=False), inode)
        except FileNotFoundError as error:
            raise NoSuchJob(f"job {job} is not on this node yet") from error
        with self._lock:
            self._open[job] = opened
            while len(self._open) > _KEPT:
                self._open.pop(next(iter(self._open)))
        return opened

    @staticmethod
    def _is_current(job: OpenJob) -> bool:
        try:
            return not job.state.closed and job.folder.state_path.stat().st_ino == job.inode
        except OSError:
            return False
