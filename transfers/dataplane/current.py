"""The link `current` beside the versions of a payload: it names one of them, and changes at once or not at all.

<data dir>/<base>/versions/<number>/...         the files of a version, which a job of its own brought
<data dir>/<base>/current -> versions/<number>  the one that programs are to use
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transfers.dataplane.disk import disk_errors, sync_folder
from transfers.dataplane.folder import JobFolder
from transfers.dataplane.shelf import Shelf
from transfers.errors import NoSuchJob, StoreError

LINK = "current"
VERSIONS = "versions"
_DRAFT = ".current.new"
_PLACE = re.compile(rf"(?:(?P<base>.+)/)?{VERSIONS}/(?P<number>[1-9][0-9]{{0,8}})")


@dataclass(frozen=True)
class VersionPlace:
    """Where a version's files are: below `base`, a folder in the data directory, "" for that itself."""

    base: str
    number: int

    @property
    def destination(self) -> str:
        """As a job has it."""
        return f"{self.base}/{self.target}" if self.base else self.target

    @property
    def target(self) -> str:
        """What the link says."""
        return f"{VERSIONS}/{self.number}"

    @classmethod
    def of(cls, destination: str) -> VersionPlace | None:
        """The place that a job's destination is; None when it is no version's."""
        match = _PLACE.fullmatch(destination)
        return cls(match["base"] or "", int(match["number"])) if match else None


def check_no_link_on_the_way(folder: JobFolder) -> None:
    """Raises StoreError when files of a job would land in a version by way of its link, or in place of the link."""
    base = Path(folder.destination)
    names = {base / file.name for file in folder.layout.files}
    ways = {way for name in names for way in (name, *name.parents) if way.name == LINK}
    for way in sorted(ways):
        link = folder.data_dir / way
        if link.is_symlink() and VersionPlace.of(str(link.readlink())):
            raise StoreError(
                f"{link} names the version in use, and job {folder.job} has files there, which would change that "
                "version; take another destination"
            )


class Currents:
    """The links of one node. Safe to share between threads; a version that is being deleted is not pointed at."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._shelf = Shelf(data_dir)
        self._lock = threading.RLock()
        self._places: dict[str, VersionPlace | None] = {}  # job -> its place, which never changes

    def path(self, base: str) -> Path:
        return self._data_dir / base / LINK

    def number(self, base: str) -> int | None:
        """The version that the link names; None where there is no link, or one to something else."""
        try:
            place = VersionPlace.of(str(self.path(base).readlink()))
        except (OSError, ValueError):
            return None
        return place.number if place is not None and not place.base else None

    def exists(self, base: str) -> bool:
        return self.path(base).is_symlink()

    def is_version(self, job: str) -> bool:
        """Whether a job on this node is at a version's place."""
        return self._place(job) is not None

    def is_linked(self, job: str) -> bool:
        """Whether a link names the folder of this job."""
        place = self._place(job)
        return place is not None and self.number(place.base) == place.number

    def switch(self, base: str, job: str) -> bool:
        """Points the link of `base` at a job's files, if all of them are in their places; says whether it is there.

        It is replaced by a rename, and on the disk when this returns. Raises StoreError or DiskFull, and the link is
        where it was.
        """
        with self._lock:
            place = self._place(job)
            if place is None:
                return False
            if place.base != base:
                raise StoreError(f"job {job} is at {place.destination}, which is no version below {base or 'the top'}")
            if self.number(base) == place.number:
                return True
            kept = self._shelf.find(job)
            if kept is None or not kept.whole:
                return False
            self._point(place)
            return True

    @contextmanager
    def leaving(self, job: str) -> Iterator[None]:
        """For whoever deletes the job's files in the block: a link to them goes first, and none is made meanwhile."""
        with self._lock:
            place = self._place(job)
            if place is not None and self.number(place.base) == place.number:
                with disk_errors(self._data_dir, f"remove the link {self.path(place.base)}"):
                    self.path(place.base).unlink()
                    sync_folder(self.path(place.base).parent)
            self._places.pop(job, None)
            yield

    def _point(self, place: VersionPlace) -> None:
        link = self.path(place.base)
        if link.exists() and not link.is_symlink():
            raise StoreError(f"{link} is no link, and the version in use is to be named by one: move it away")
        with disk_errors(self._data_dir, f"point {link} at {place.target}"):
            draft = link.with_name(_DRAFT)
            draft.unlink(missing_ok=True)  # of a process that was killed
            draft.symlink_to(place.target)
            draft.replace(link)
            sync_folder(link.parent)
        if self.number(place.base) != place.number:
            raise StoreError(f"{link} was pointed at {place.target} and is not there: something else changes it")

    def _place(self, job: str) -> VersionPlace | None:
        if job not in self._places:
            try:
                self._places[job] = VersionPlace.of(JobFolder.load(self._data_dir, job).destination)
            except (NoSuchJob, StoreError):
                return None
        return self._places[job]
