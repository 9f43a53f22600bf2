"""One shard on its way here: what was assigned, how far it is, and how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nodes.agent.job import LocalJob
from transfers.scheduler.types import GCS, Assignment, Outcome, Report


@dataclass(frozen=True)
class Ending:
    """How a transfer ended here. error: for the log; crc: of the bytes, if all are here."""

    outcome: Outcome
    crc: int | None = None
    why: str = ""
    error: str = ""


class Transfer:
    """Made by the dispatcher, carried by one mover, read by the heartbeat.

    lease: None once the scheduler has forgotten it (it lost its data, or counts this node as started anew). The bytes
    are still wanted: the transfer goes on, and its shard is announced, or reported under a new lease of that shard.
    pushed: the scheduler had nothing when it was asked, and sent this when it had.
    follows: the transfer before it in its lane. asked, first_byte, left_at, ended: when it asked for its bytes, got the
    first, let the next one ask, and was over.
    """

    def __init__(self, assignment: Assignment, job: LocalJob, *, pushed: bool = False) -> None:
        self.assignment = assignment
        self.job = job
        self.lease: str | None = assignment.lease
        self.received = 0  # bytes of the shard that are here
        self.moved = 0  # bytes that came over the network for it
        self.started = time.monotonic()
        self.pushed = pushed
        self.follows: Transfer | None = None
        self.gap: tuple[float, bool] | None = None  # what its lane stood still before it: seconds, for want of work
        self.asked: float | None = None
        self.answered: int | None = None  # bytes that came first, all at once
        self.first_byte: float | None = None
        self.left_at: float | None = None
        self.ended: float | None = None
        self.ending: Ending | None = None
        self.why_stopped = ""
        self._stopped = False

    @property
    def shard(self) -> int:
        return self.assignment.shard

    @property
    def key(self) -> tuple[str, int]:
        return self.job.id, self.assignment.shard

    @property
    def from_gcs(self) -> bool:
        return self.assignment.source == GCS

    def stop(self, why: str) -> None:
        """Ask the mover to stop; it looks at every buffer."""
        self.why_stopped = self.why_stopped or why
        self._stopped = True

    def stopped(self) -> bool:
        return self._stopped

    def orphan(self) -> None:
        """The scheduler no longer knows the lease."""
        self.lease = None

    def adopt(self, assignment: Assignment) -> None:
        """Go on under a new lease for the same shard, wherever the bytes come from meanwhile."""
        self.assignment = assignment
        self.lease = assignment.lease

    def end(self, ending: Ending) -> None:
        self.ended = time.monotonic()
        self.ending = ending
        self.follows = None  # or a chain of all transfers would stay in memory

    @property
    def seconds(self) -> float:
        """How long it has taken, without the wait for its turn."""
        return (self.ended or time.monotonic()) - (self.asked or self.started)

    def trace(self) -> dict[str, float]:
        """For the log, in seconds: how long it waited for its turn, and then for its first byte."""
        asked = self.asked or self.started
        return {"turn": asked - self.started, "answer": (self.first_byte or asked) - asked}

    def report(self) -> Report:
        """What the scheduler is told about a transfer that ended under a lease."""
        if self.lease is None or self.ending is None:
            raise ValueError("only a transfer that has a lease and has ended can be reported")
        return Report(
            lease=self.lease,
            outcome=self.ending.outcome,
            crc32c=self.ending.crc,
            bytes=self.moved,
            ms=int(self.seconds * 1000),
            why=self.ending.why,
            first_ms=None if self.first_byte is None else int((self.first_byte - self.started) * 1000),
        )
