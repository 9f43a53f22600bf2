"""What to do next, from plain facts: when a source is a version, which version nodes use, which go, who has what."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

LEAST_LOOKS = 2  # listings over which a source must be unchanged
NO_NODE = "no node that matches is live: the version starts when one joins"


@dataclass(frozen=True)
class Sight:
    """A source as it was seen last. since, times: of this very state, in a row."""

    fingerprint: str = ""
    since: datetime | None = None
    times: int = 0

    def again(self, fingerprint: str, now: datetime) -> Sight:
        """After one more look."""
        if fingerprint == self.fingerprint and self.since is not None:
            return replace(self, times=self.times + 1)
        return Sight(fingerprint, now, 1)

    def is_settled(self, settle: timedelta, now: datetime, *, marked: bool) -> bool:
        """Whether it can be taken to be whole. marked: a marker says when it is, so that one look suffices."""
        if self.since is None:
            return False
        if marked or not settle:
            return True
        return self.times >= LEAST_LOOKS and now - self.since >= settle

    def next_look(self, settle: timedelta, interval: timedelta, now: datetime, *, settled: bool) -> datetime:
        """When to look again: when it can have settled, if that is sooner than the usual interval."""
        if settled or self.since is None:
            return now + interval
        return now + min(interval, max(self.since + settle - now, timedelta(seconds=1)))


@dataclass(frozen=True)
class VersionFacts:
    """A version that is kept. nodes: those that count for it; ready: those of them that have all of it.

    current_at: when nodes were told to use it, last.
    """

    number: int
    nodes: int = 0
    ready: int = 0
    current_at: datetime | None = None


def needed(share: float, nodes: int) -> int:
    """How many of so many nodes a share is, one at least: rounded up, so that a share of 1 is all of them."""
    return max(1, math.ceil(round(share * nodes, 6)))


def counting(founders: Collection[str], up: Collection[str]) -> frozenset[str]:
    """The nodes that count for a version: those that were there when it started, as far as they are up.

    Nodes that joined later hold nothing up: in a fleet that grows all the time a version would never be used. Where
    none of the first is left, all count.
    """
    return frozenset(founders) & frozenset(up) or frozenset(up)


def next_current(current: int | None, passed_over: int, share: float, versions: Sequence[VersionFacts]) -> int | None:
    """The version that nodes shall use from now on; None for no change.

    It is the newest for which enough nodes are ready, newer than the current one and than those that a person has
    passed over.
    """
    floor = max(current or 0, passed_over)
    ready = [each.number for each in versions if each.number > floor and each.ready >= needed(share, each.nodes)]
    return max(ready, default=None)


def pending(current: int | None, passed_over: int, versions: Sequence[VersionFacts]) -> int | None:
    """The version that is to be used next, as soon as enough nodes have it."""
    floor = max(current or 0, passed_over)
    return max((each.number for each in versions if each.number > floor), default=None)


def superseded(current: int | None, versions: Sequence[VersionFacts]) -> list[int]:
    """Versions that nobody was told to use and nobody will be, since a newer one is on its way."""
    newest = max((each.number for each in versions), default=0)
    return [
        each.number for each in versions if each.number < newest and each.number != current and each.current_at is None
    ]


def too_old(current: int | None, kept: int, versions: Sequence[VersionFacts]) -> list[int]:
    """Versions that are beyond the number kept: the current one stays, and those that were current most lately.

    What was not current yet does not count: `superseded` says when that goes.
    """
    used = sorted(
        (each for each in versions if each.current_at is not None and each.number != current),
        key=lambda each: (each.current_at, each.number),
        reverse=True,
    )
    return [each.number for each in used[max(0, kept - 1) :]]


@dataclass(frozen=True)
class Changes:
    """Nodes by what is due. join: are to get it. again: had it, or failed, and get another try. leave: no longer."""

    join: frozenset[str]
    again: frozenset[str]
    leave: frozenset[str]


def membership(
    states: Mapping[str, str], wanting: Collection[str], gone: Collection[str], retry: Collection[str]
) -> Changes:
    """Who joins a version's job and who leaves it.

    states: of the nodes on its list. wanting: nodes that are up, take work and are to have it. gone: nodes that are up
    and are not to have it. retry: those of which a failure is old enough to be tried again.
    """
    wants = frozenset(wanting)
    listed = {name for name, state in states.items() if state != "withdrawn"}
    lost = {name for name, state in states.items() if state in ("evicted", "stopped")}
    failed = {name for name, state in states.items() if state == "failed"} & set(retry)
    return Changes(
        join=wants - listed,
        again=wants & (lost | failed),
        leave=frozenset(gone) & listed,
    )
