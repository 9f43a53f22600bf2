"""The jobs that are kept on a node's disk: how large each is, when it was last wanted, whether it is pinned.

Two marks lie beside a job's description, so that they outlive the agent: `wanted`, whose time is that of the last wish,
and `pinned`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from transfers.dataplane.disk import disk_errors
from transfers.dataplane.folder import JobFolder, is_job_id, jobs_dir
from transfers.dataplane.layout import PayloadFile
from transfers.dataplane.placement import is_untouched
from transfers.dataplane.shardstate import ShardState
from transfers.errors import NoSuchJob, StoreError


@dataclass(frozen=True)
class KeptJob:
    """size: bytes of its files and parts here; a file that several jobs share by hard links counts in equal parts.

    wanted_at: seconds since 1970. whole: every file is in its place, as it was put there. destination: below the data
    directory.
    """

    job: str
    size: int
    wanted_at: float
    pinned: bool
    whole: bool
    destination: str = ""


class Shelf:
    """Reads the disk each time, at the cost of a look at each file: 35 us a file, measured.

    remember: seconds for which a job whose files are all in place is taken to stay so, unless `forget` was called.
    """

    def __init__(self, data_dir: Path, remember: float = 0.0) -> None:
        self._data_dir = data_dir
        self._remember = remember
        self._known: dict[str, tuple[float, KeptJob]] = {}

    def names(self) -> list[str]:
        """The jobs that have left something here."""
        folder = jobs_dir(self._data_dir)
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and is_job_id(path.name))

    def jobs(self) -> list[KeptJob]:
        return [kept for name in self.names() if (kept := self.find(name)) is not None]

    def forget(self, job: str | None = None) -> None:
        """Something of a job has changed, or of any."""
        if job is None:
            self._known.clear()
        else:
            self._known.pop(job, None)

    def find(self, job: str) -> KeptJob | None:
        """The job as it is on the disk; None when there is nothing of it, or nothing that can be read."""
        looked_at, kept = self._known.get(job, (0.0, None))
        marks = jobs_dir(self._data_dir) / job
        if kept is not None and time.monotonic() - looked_at < self._remember and marks.is_dir():
            return replace(kept, wanted_at=_time_of(marks / "wanted"), pinned=(marks / "pinned").exists())
        kept = self._look(job)
        if kept is not None and kept.whole and self._remember:
            self._known[job] = (time.monotonic(), kept)
        return kept

    def _look(self, job: str) -> KeptJob | None:
        try:
            folder = JobFolder.load(self._data_dir, job)
            state = folder.open_state(writable=False)
        except (NoSuchJob, StoreError, OSError):
            return None
        size, whole = 0, True
        for file, entry in enumerate(folder.layout.files):
            placed = state.is_placed(file) and is_untouched(folder, state, file)
            size += _share(folder.final_path(file) if placed else folder.part_path(file), entry.size)
            whole = whole and placed
        pinned = (folder.path / "pinned").exists()
        return KeptJob(job, size, _time_of(folder.path / "wanted"), pinned, whole, folder.destination)

    def placed_files(self, job: str) -> Iterator[tuple[JobFolder, ShardState, int]]:
        """The files of a job that are in their places, as they were put there: (folder, state, file)."""
        try:
            folder = JobFolder.load(self._data_dir, job)
            state = folder.open_state(writable=False)
        except (NoSuchJob, StoreError, OSError):
            return
        for file in range(len(folder.layout.files)):
            if state.is_placed(file) and is_untouched(folder, state, file):
                yield folder, state, file

    def places(self, but: str) -> dict[Path, tuple[str, PayloadFile]]:
        """Where files are that jobs count on, but those of one job: path -> (job, what it has there)."""
        others = (name for name in self.names() if name != but)
        return {
            folder.final_path(file): (name, folder.layout.files[file])
            for name in others
            for folder, _state, file in self.placed_files(name)
        }

    def want(self, job: str) -> None:
        """Somebody wants the job now."""
        self._mark(job, "wanted", True)

    def pin(self, job: str, pinned: bool) -> bool:
        """Keeps a job from eviction, or lets it go again; False when there is nothing of it here."""
        return self._mark(job, "pinned", pinned)

    def _mark(self, job: str, name: str, there: bool) -> bool:
        folder = jobs_dir(self._data_dir) / job
        if not is_job_id(job) or not folder.is_dir():
            return False
        with disk_errors(self._data_dir, f"mark job {job} as {name}"):
            if there:
                (folder / name).touch()
            else:
                (folder / name).unlink(missing_ok=True)
        return True


def _share(path: Path, size: int) -> int:
    try:
        return size // path.stat().st_nlink
    except OSError:
        return 0


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
