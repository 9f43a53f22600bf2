"""What a stream can be about: one job, or the whole fleet. Each keeps what it sent last, and tells what changed."""

from __future__ import annotations

import time
import uuid
from typing import Any, Protocol

from transfers.links import Links
from transfers.live.delta import DeltaWriter
from transfers.live.fleet import read_fleet
from transfers.live.fleet_delta import FleetWriter
from transfers.live.picture import read_picture
from transfers.live.readings import Readings

SETTLED_SECONDS = 1.0  # the recorder writes a job's last events within this time after its end


class Subject(Protocol):
    """bulky: keys of its messages that brief listeners do without."""

    @property
    def bulky(self) -> tuple[str, ...]: ...

    def update(self, links: Links, readings: Readings) -> dict[str, Any]:
        """Looks again; gives what changed. Raises Job.DoesNotExist, the database's errors."""

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
        return self._writer.next(read_picture(links, self._id, self._writer.sent, readings=readings))

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
