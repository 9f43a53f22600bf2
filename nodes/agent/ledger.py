"""What the scheduler still has to be told, and what it has not yet answered."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field

from nodes.agent.transfer import Transfer
from transfers.scheduler.types import NextReply, Report

SETTLE_PAUSE = 0.03  # seconds until a shard whose digest nobody knew is reported again


@dataclass(frozen=True)
class Call:
    """One `next`, kept until its answer has come: after a lost answer the same request id gets the same one again."""

    request_id: str
    epoch: int
    reports: tuple[Report, ...]
    want: int


@dataclass
class Verdicts:
    """What became of shards that were reported as whole: counted, or refused because of their digest."""

    accepted: list[Transfer] = field(default_factory=list)
    rejected: list[Transfer] = field(default_factory=list)


class Ledger:
    """Kept by the dispatcher; `waiting` may be asked by others."""

    def __init__(self) -> None:
        self.call: Call | None = None  # sent, and its answer unknown
        self._reports: list[Report] = []
        self._reported: dict[str, Transfer] = {}  # by lease, until the answer has come
        self._unsettled: dict[str, Transfer] = {}
        self._settle_at = 0.0
        self._lock = threading.Lock()

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell now."""
        return self.call is not None or bool(self._reports)

    @property
    def is_awaited(self) -> bool:
        """Whether news is of something that has waited already: a call without an answer, or an unknown digest."""
        return self.call is not None or bool(self._unsettled)

    @property
    def empty(self) -> bool:
        return not (self.has_news or self._unsettled)

    @property
    def settle_at(self) -> float | None:
        """When unsettled shards are to be reported again (monotonic time); None when there are none to report."""
        return self._settle_at if self._unsettled and not self.has_news else None

    def waiting(self) -> list[Transfer]:
        """Transfers that are over and whose leases must live until their digests are known."""
        with self._lock:
            return list(self._unsettled.values())

    def add(self, transfer: Transfer) -> None:
        """A transfer with a lease has ended."""
        if transfer.lease is not None:
            self._reports.append(transfer.report())
            self._reported[transfer.lease] = transfer

    def refuse(self, lease: str, why: str) -> None:
        """An assignment was not taken up."""
        self._reports.append(Report(lease, "cancelled", why=why))

    def next_call(self, epoch: int, want: int) -> Call:
        """The call to make: the one whose answer got lost, else a new one with all reports."""
        if self.call is None:
            self.call = Call(uuid.uuid4().hex, epoch, tuple(self._reports), want)
        return self.call

    def answered(self, reply: NextReply) -> Verdicts:
        """The answer to `call` has come."""
        verdicts = Verdicts()
        if self.call is None:
            return verdicts
        call, self.call = self.call, None
        del self._reports[: len(call.reports)]
        for report in call.reports:
            transfer = self._reported.pop(report.lease, None)
            if transfer is None or report.outcome != "ok":
                continue
            with self._lock:
                if report.lease in reply.unsettled:
                    self._unsettled[report.lease] = transfer
                    self._settle_at = time.monotonic() + SETTLE_PAUSE
                    continue
                self._unsettled.pop(report.lease, None)
            if report.lease in reply.rejected:
                verdicts.rejected.append(transfer)
            elif report.lease not in reply.stale:
                verdicts.accepted.append(transfer)
        return verdicts

    def settle(self) -> None:
        """Report unsettled shards again, when their time has come."""
        if not self._unsettled or self.has_news or time.monotonic() < self._settle_at:
            return  # or: the next call is due anyway, and its answer sets the next time
        for lease, transfer in self._unsettled.items():
            if lease not in self._reported:
                self.add(transfer)
        self._settle_at = time.monotonic() + SETTLE_PAUSE

    def forget(self) -> list[Transfer]:
        """The scheduler knows none of our leases any more: gives the transfers whose end it may not have heard of."""
        unheard = list(self._reported.values())
        self.call = None
        self._reports.clear()
        self._reported.clear()
        with self._lock:
            self._unsettled.clear()
        return unheard
