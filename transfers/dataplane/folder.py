"""Where a job's bytes are on a node: the paths, and the description that lets any process find its way.

<data dir>/.fdist/jobs/<job>/layout.json     what the job is, where its files go
<data dir>/.fdist/jobs/<job>/shards.state    what has arrived (shardstate.py)
<data dir>/.fdist/jobs/<job>/parts/<index>   files that are not whole yet
<data dir>/<destination>/<name>              files that are
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from transfers.dataplane.disk import disk_errors
from transfers.dataplane.layout import Layout
from transfers.dataplane.names import STATE_DIR, check_destination
from transfers.dataplane.shardstate import ShardState
from transfers.errors import NoSuchJob, StoreError

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def jobs_dir(data_dir: Path) -> Path:
    return data_dir / STATE_DIR / "jobs"


def is_job_id(job: str) -> bool:
    """Whether a job's id may be the name of a folder."""
    return _JOB_ID.fullmatch(job) is not None


@dataclass(frozen=True)
class JobFolder:
    """A job on this node's disk, for the process that writes it and for those that read it."""

    data_dir: Path
    job: str
    layout: Layout
    destination: str

    def __post_init__(self) -> None:
        if not is_job_id(self.job):
            raise StoreError(f"{self.job!r} cannot be a job's id")
        check_destination(self.destination)

    @classmethod
    def load(cls, data_dir: Path, job: str) -> JobFolder:
        """The job as `save` described it; raises NoSuchJob when this disk has none, StoreError when it is damaged."""
        if not is_job_id(job):
            raise NoSuchJob(f"{job!r} cannot be a job's id")
        path = jobs_dir(data_dir) / job / "layout.json"
        try:
            data = json.loads(path.read_bytes())
            return cls(data_dir, job, Layout.from_dict(data["layout"]), data["destination"])
        except FileNotFoundError as error:
            raise NoSuchJob(f"job {job} is not on this node ({path} is not there)") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error

    def save(self) -> None:
        """Write the description, whole or not at all."""
        data = {"destination": self.destination, "layout": self.layout.to_dict()}
        with disk_errors(self.data_dir, f"describe job {self.job}"):
            self.parts_dir.mkdir(parents=True, exist_ok=True)
            draft = self.path / "layout.new"
            draft.write_text(json.dumps(data, separators=(",", ":"), sort_keys=True))
            draft.replace(self.path / "layout.json")

    def describe(self) -> None:
        """As `save`, unless the job is described here already; raises StoreError when it is described otherwise."""
        try:
            known = JobFolder.load(self.data_dir, self.job)
        except (NoSuchJob, StoreError):
            self.save()
            return
        if known != self:
            raise StoreError(f"job {self.job} is on this node with another layout or destination; purge it first")

    @property
    def path(self) -> Path:
        return jobs_dir(self.data_dir) / self.job

    @property
    def parts_dir(self) -> Path:
        return self.path / "parts"

    @property
    def state_path(self) -> Path:
        return self.path / "shards.state"

    @property
    def fingerprint(self) -> int:
        """64 bits that differ between any two layouts."""
        return int.from_bytes(hashlib.sha256(self.layout.to_json().encode()).digest()[:8], "little")

    def open_state(self, *, writable: bool) -> ShardState:
        return ShardState(self.state_path, self.layout, self.fingerprint, writable=writable)

    def open_or_make_state(self) -> ShardState:
        """The state for the agent to write; a new one where there is none, or a damaged one."""
        with disk_errors(self.data_dir, f"open the state of job {self.job}"):
            if self.state_path.exists():
                with suppress(StoreError):
                    return self.open_state(writable=True)
            # Nothing is proven then, and what was placed is found by its content.
            ShardState.create(self.state_path, self.layout, self.fingerprint)
            return self.open_state(writable=True)

    def part_path(self, file: int) -> Path:
        return self.parts_dir / str(file)

    def final_path(self, file: int) -> Path:
        return self.data_dir / self.destination / self.layout.files[file].name

    def open_file(self, file: int, flags: int = os.O_RDONLY) -> int:
        """A descriptor of a file of the job, wherever it is now; FileNotFoundError when it is nowhere.

        The agent may place it, or take it back, between two looks; hence the third.
        """
        part, final = self.part_path(file), self.final_path(file)
        for path in (part, final, part):
            try:
                return os.open(path, flags | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
        raise FileNotFoundError(f"{part} and {final} are gone")
