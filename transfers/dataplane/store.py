"""All jobs on a node's disk; the names that users of the store need are here."""

from __future__ import annotations

import os
from pathlib import Path

from transfers.dataplane import disk, parts
from transfers.dataplane.current import Currents
from transfers.dataplane.folder import JobFolder, jobs_dir
from transfers.dataplane.jobstore import JobStore
from transfers.dataplane.layout import Layout
from transfers.dataplane.placement import FileProblem
from transfers.dataplane.reuse import Reuse
from transfers.dataplane.room import MakeRoom, unlimited
from transfers.dataplane.shelf import Shelf
from transfers.dataplane.writer import ShardWriter

__all__ = ["FileProblem", "JobStore", "ShardWriter", "Store"]


class Store:
    """All jobs on this node's disk.

    reuse: how content is taken from other jobs' files. make_room: asked before a job takes space.
    """

    def __init__(self, data_dir: Path, reuse: Reuse = "link") -> None:
        self.data_dir = Path(data_dir)
        self.reuse = reuse
        self.make_room: MakeRoom = unlimited
        self.shelf = Shelf(self.data_dir)
        self.currents = Currents(self.data_dir)
        with disk.disk_errors(self.data_dir, f"use {self.data_dir} as the data directory"):
            jobs_dir(self.data_dir).mkdir(parents=True, exist_ok=True)
            probe = jobs_dir(self.data_dir) / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()

    def jobs(self) -> list[str]:
        """The jobs that have left something here."""
        return self.shelf.names()

    def create(self, job: str, layout: Layout, destination: str) -> JobStore:
        return JobStore(self.data_dir, job, layout, destination, make_room=self.make_room, reuse=self.reuse)

    def open(self, job: str) -> JobStore:
        """A job as an earlier process described it; call `prepare` next. Raises NoSuchJob or StoreError."""
        folder = JobFolder.load(self.data_dir, job)
        return self.create(job, folder.layout, folder.destination)

    def free(self) -> int:
        """Bytes free for jobs."""
        return max(disk.free_bytes(self.data_dir) - parts.RESERVE, 0)

    def total(self) -> int:
        return disk.total_bytes(self.data_dir)
