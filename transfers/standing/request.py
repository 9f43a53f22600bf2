"""What a person or a program asks for, checked one field at a time before anything else is looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transfers.dataplane.current import LINK, VERSIONS
from transfers.dataplane.names import check_destination, check_name
from transfers.errors import PlanError
from transfers.planning import JobRequest, fields, parse_source

MAX_NAME = 63
NAME = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{MAX_NAME - 1}}}")
TAKEN = ("new",)  # its page would have the address of the form
MAX_DESTINATION = 1000
MAX_KEPT = 20
LONGEST = 7 * 24 * 3600  # seconds
MAX_MARKER = 255
PLACE = ("source", "destination", "nodes")
JOB_OPTIONS = (
    "topology",
    "shard_size",
    "gcs_slots",
    "upload_slots",
    "download_slots",
    "priority",
    "policy",
    "own_zone",
    "bucket_budget",
)
CHANGEABLE = ("nodes", "share", "versions_kept", "check_seconds", "settle_seconds", "marker", *JOB_OPTIONS)
FIELDS = ("name", "source", "destination", *CHANGEABLE)


@dataclass(frozen=True)
class StandingRequest:
    """A standing distribution as asked for.

    nodes: a selector (see nodes.labels). destination: the folder with the versions and the link, below each data
    directory; None takes the folder that the source has in its bucket. share: the part of the nodes that must have a
    version before it is used. options: of each version's job, as JobRequest has them.
    """

    name: str
    source: str
    nodes: Mapping[str, Any]
    destination: str
    share: float = 1.0
    versions_kept: int = 2
    check_seconds: int = 60
    settle_seconds: int = 60
    marker: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StandingRequest:
        """The request in plain values (None means not given); raises PlanError for the first field that is wrong."""
        if unknown := sorted(set(data) - set(FIELDS)):
            raise PlanError(
                unknown[0], f'"{unknown[0]}" is no option of a standing distribution; known are {", ".join(FIELDS)}'
            )
        given = {key: value for key, value in data.items() if value is not None}
        name = given.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PlanError(
                "name",
                f"{name!r} is no name: lower-case letters, digits and . _ - only, at most {MAX_NAME}, a letter or "
                "digit first",
            )
        if name in TAKEN:
            raise PlanError("name", f'no standing distribution can have the name "{name}": take another')
        job = JobRequest.from_dict({key: given[key] for key in (*PLACE, *JOB_OPTIONS) if key in given})
        uri = parse_source(job.source)
        destination = uri.folder if job.destination is None else job.destination
        check_destination(destination)
        if len(destination) > MAX_DESTINATION:
            raise PlanError("destination", f"a destination has at most {MAX_DESTINATION} characters")
        marker = _marker(given, uri.kind)
        return cls(
            name=name,
            source=job.source,
            nodes=job.nodes,
            destination=destination,
            share=fields.part(given, "share"),
            versions_kept=fields.whole(given, "versions_kept", 2, 1, MAX_KEPT),
            check_seconds=fields.whole(given, "check_seconds", 60, 1, LONGEST),
            settle_seconds=fields.whole(given, "settle_seconds", 60, 0, LONGEST),
            marker=marker,
            options={key: given[key] for key in JOB_OPTIONS if key in given},
        )


def _marker(given: Mapping[str, Any], kind: str) -> str:
    marker = fields.text(given, "marker")
    if not marker:
        return ""
    if kind != "prefix":
        raise PlanError("marker", "only a prefix is whole when a marker says so; leave marker out")
    check_name(marker, "marker")
    if len(marker) > MAX_MARKER:
        raise PlanError("marker", f"a marker's name has at most {MAX_MARKER} characters, this one has {len(marker)}")
    return marker


def overlaps(one: str, other: str) -> bool:
    """Whether two destinations would meet: they are the same, or one lies within the other's versions or link."""
    return one == other or lies_within(one, other) or lies_within(other, one)


def lies_within(base: str, destination: str) -> bool:
    """Whether a destination is below the versions or the link of `base`."""
    above, below = _parts(base), _parts(destination)
    rest = below[len(above) :]
    return below[: len(above)] == above and rest[:1] in ([LINK], [VERSIONS])


def _parts(destination: str) -> list[str]:
    return destination.split("/") if destination else []
