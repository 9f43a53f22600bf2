"""Why who got what from whom, and why who waited: a job's log of decisions, for those who ask afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transfers.scheduler.base import Base, text, texts
from transfers.scheduler.types import GCS

REASONS = {
    "asked": "it asked, and this source was free",
    "freed": "the source had a free slot or something new, and it was the neediest that waited",
    "bucket": "the bucket had a free read, and it was the neediest that waited",
    "late": "its transfer of this shard was far behind, and this source was free",
    "tick": "it had been passed over, and the reaper's tick found the match",
    "trial": "it was slow; a normal source was lent to it to see whether it still is",
    "cut_through": "its predecessor was receiving the shard just then, and passes it on while it does",
    "confirm": "the shard was under suspicion, and was read from the bucket once more",
}


@dataclass(frozen=True)
class Granted:
    """A transfer was given. at: ms of the scheduler's clock. copies: live copies of the shard then. idle: sources with
    a free slot and something to give. waiting: nodes that waited. why: a key of REASONS."""

    at: int
    lease: str
    node: str
    shard: int
    source: str
    copies: int
    idle: int
    waiting: int
    why: str

    def __str__(self) -> str:
        source = "the bucket" if self.source == GCS else self.source
        rare = "no live copy" if not self.copies else f"{self.copies} live {'copy' if self.copies == 1 else 'copies'}"
        return (
            f"{self.node} was given shard {self.shard} ({rare}) from {source}: {REASONS.get(self.why, self.why)}; "
            f"{self.idle} sources were free, {self.waiting} nodes waited"
        )


@dataclass(frozen=True)
class Waited:
    """A node began to wait for `wants` more. reads: free reads of the bucket. fresh: shards that only it has."""

    at: int
    node: str
    wants: int
    idle: int
    reads: int
    fresh: int

    def __str__(self) -> str:
        if self.idle:
            sources = f"none of the {self.idle} free sources had anything that it needed"
        else:
            sources = "no node that had something had a free slot"
        if not self.fresh:
            bucket = "every shard had left the bucket"
        elif self.reads <= 0:
            bucket = f"all reads of the bucket were taken, {self.fresh} shards were only there"
        else:
            bucket = f"{self.fresh} shards were only in the bucket, which it could not read just then"
        return f"{self.node} waited for {self.wants} more: {sources}; {bucket}"


@dataclass(frozen=True)
class Ended:
    """A transfer was over. brought: the shard counts on its node from now on."""

    at: int
    lease: str
    brought: bool

    def __str__(self) -> str:
        return f"lease {self.lease} {'brought its shard' if self.brought else 'ended without its shard'}"


Decision = Granted | Waited | Ended


class Decisions(Base):
    def decisions(self, job: str) -> list[Decision]:
        """What the job's log still has, oldest first; the newest are there after the reaper's next tick."""
        lines: Any = self._client.lrange(self._keys.job(job, ":log"), 0, -1)
        named: Any = self._client.hgetall(self._keys("names"))
        names = texts(named)
        told = "\n".join(map(text, lines)).split("\n") if lines else []
        return [decision for line in told for decision in _decisions(line, names)]


def _decisions(line: str, names: dict[str, str]) -> Iterator[Decision]:
    """A line as lib/log.lua writes it."""
    kind, at, *rest = line.split(" ")
    if kind == "g":
        lease, shard, source, copies, idle, waiting, why = rest
        node = lease.partition(".")[2]
        named = GCS if source == "-" else names.get(source, source)
        shares = (int(copies), int(idle), int(waiting))
        yield Granted(int(at), lease, names.get(node, node), int(shard), named, *shares, why)
    elif kind == "w":
        node, *numbers = rest
        yield Waited(int(at), names.get(node, node), *map(int, numbers))
    else:
        yield from (Ended(int(at), lease, kind == "d") for lease in rest)
