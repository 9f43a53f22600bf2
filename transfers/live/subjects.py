"""What a stream can be about: a job, a node, the fleet, standing distributions. Each keeps what it sent last, and tells
what changed."""

from __future__ import annotations

import time
import uuid
from typing import Any, Protocol

from transfers.links import Links
from transfers.live.delta import DeltaWriter
from transfers.live.fleet import read_fleet
from transfers.live.fleet_delta import FleetWriter
from transfers.live.node import read_node
from transfers.live.picture import read_picture
from transfers.live.readings import Readings
from transfers.live.standing import EveryStanding, OneStanding, changed, message_of, read_standing, read_standings
from transfers.models import Job

SETTLED_SECONDS = 1.0  # the recorder writes a job's last events within this time after its end


About = uuid.UUID | str | OneStanding | EveryStanding | None  # a job's id, a node's name; None is the whole fleet


class Gone(Exception):
    """What a stream is about exists no longer."""


class Subject(Protocol):
    """bulky: keys of its messages that brief listeners do without."""

    @property
    def bulky(self) -> tuple[str, ...]: ...

    def update(self, links: Links, readings: Readings) -> dict[str, Any]:
        """Looks again; gives what changed. Raises Gone, the database's errors."""

    def whole(self) -> dict[str, Any]:
        """All of what it saw last."""

    @property
    def seen(self) -> bool:
        """Whether it has looked yet."""

    @property
    def ended(self) -> bool:
        """Nothing more will happen to it."""


class JobSubject:
    bulky = ("bits",)

    def __init__(self, job: uuid.UUID) -> None:
        self._id = job
        self._writer = DeltaWriter()

    def update(self, links: Links, readings: Readings) -> dict[str, Any]:
        try:
            picture = read_picture(links, self._id, self._writer.sent, readings=readings)
        except Job.DoesNotExist:
            raise Gone from None
        return self._writer.next(picture)

    def whole(self) -> dict[str, Any]:
        picture = self._writer.sent
        about = (
            {}
            if picture is None
            else {
                "id": str(self._id),
                "name": picture.name,
                "topology": picture.topology,
                "size": picture.size,
                "shard_count": picture.shard_count,
                "shard_size": picture.shard_size,
            }
        )
        return {"about": about, **self._writer.whole()}

    @property
    def seen(self) -> bool:
        return self._writer.sent is not None

    @property
    def ended(self) -> bool:
        picture = self._writer.sent
        if picture is None or picture.finished is None:
            return False
        return picture.ended and time.time() - picture.finished > SETTLED_SECONDS


class FleetSubject:
    bulky = ("names", "nodes")
    ended = False  # a fleet has no end

    def __init__(self) -> None:
        self._writer = FleetWriter()

    def update(self, links: Links, readings: Readings) -> dict[str, Any]:
        return self._writer.next(read_fleet(links, readings, self._writer.sent))

    def whole(self) -> dict[str, Any]:
        return self._writer.whole()

    @property
    def seen(self) -> bool:
        return self._writer.sent is not None


class SmallSubject:
    """What keeps all that it saw last, and tells brief listeners as much as others. It has no end but the stream's."""

    bulky: tuple[str, ...] = ()
    ended = False

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def whole(self) -> dict[str, Any]:
        return self._last

    @property
    def seen(self) -> bool:
        return bool(self._last)


class NodeSubject(SmallSubject):
    """Its messages are small, and each has everything."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def update(self, links: Links, readings: Readings) -> dict[str, Any]:
        found = read_node(links, self._name, readings)
        if found is None:
            raise Gone
        self._last = found
        return found


class StandingSubject(SmallSubject):
    def __init__(self, about: OneStanding) -> None:
        super().__init__()
        self._about = about

    def update(self, links: Links, readings: Readings) -> dict[str, Any]:
        context = read_standing(links.cell, self._about)
        if context is None:
            raise Gone
        before, self._last = self._last, message_of(context)
        return changed(self._last, before, "parts")


class StandingsSubject(SmallSubject):
    def update(self, links: Links, readings: Readings) -> dict[str, Any]:
        before, self._last = self._last, read_standings(links.cell)
        return changed(self._last, before, "rows")


def subject_of(about: About) -> Subject:
    if about is None:
        return FleetSubject()
    if isinstance(about, EveryStanding):
        return StandingsSubject()
    if isinstance(about, OneStanding):
        return StandingSubject(about)
    return NodeSubject(about) if isinstance(about, str) else JobSubject(about)
