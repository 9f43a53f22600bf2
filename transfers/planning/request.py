"""What a person or a program asks for, checked one option at a time before anything else is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any

from nodes.labels import parse_selector
from transfers.dataplane.names import check_destination
from transfers.errors import PlanError
from transfers.planning import fields
from transfers.planning.budget import Budget, parse_budget
from transfers.planning.cutting import MAX_SHARD_SIZE, MIN_SHARD_SIZE
from transfers.planning.source import parse_source

TOPOLOGIES = ("mesh", "pipeline")
POLICIES = ("rarest-first", "peers-first", "random", "sequential")
DEFAULT_GCS_SLOTS = 16  # a read shares its node's link with what comes from peers: together they must still fill one
MAX_SLOTS = 1024
MAX_PRIORITY = 1000
MAX_NAME = 200


@dataclass(frozen=True)
class JobRequest:
    """A job as asked for.

    nodes: a selector (see nodes.labels). destination: folder below each node's data directory; None takes the folder
    that the source has in its bucket. shard_size: bytes; None lets the plan choose. gcs_slots: reads from the bucket
    at once, of all nodes together. upload_slots, download_slots: caps of one node; None leaves the node's own.
    policy: which shard a node of a mesh gets next. quorum: the part of the nodes with which the job is ready.
    own_zone: whether nodes of a mesh take from their own zone what it has. bucket_budget: what it may read from the
    bucket; None for all that it takes.
    """

    source: str
    name: str = ""
    topology: str = "mesh"
    nodes: Mapping[str, Any] = field(default_factory=lambda: {"all": True})
    destination: str | None = None
    shard_size: int | None = None
    gcs_slots: int = DEFAULT_GCS_SLOTS
    upload_slots: int | None = None
    download_slots: int | None = None
    priority: int = 0
    policy: str = "rarest-first"
    quorum: float = 1.0
    own_zone: bool = True
    bucket_budget: Budget | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobRequest:
        """The request in plain values (None means not given); raises PlanError for the first field that is wrong."""
        known = {item.name for item in fields_of(cls)}
        if unknown := sorted(set(data) - known):
            raise PlanError(unknown[0], f'"{unknown[0]}" is no option of a job; known are {", ".join(sorted(known))}')
        given = {key: value for key, value in data.items() if value is not None}
        source = fields.text(given, "source")
        if not source:
            raise PlanError("source", "a job needs a source, such as gs://bucket/prefix/")
        parse_source(source)
        name = fields.text(given, "name")
        if len(name) > MAX_NAME:
            raise PlanError("name", f"a job's name has at most {MAX_NAME} characters, this one has {len(name)}")
        shard_size = fields.whole_or_none(given, "shard_size", MIN_SHARD_SIZE, MAX_SHARD_SIZE, " bytes")
        return cls(
            source=source,
            name=name,
            topology=fields.choice(given, "topology", TOPOLOGIES),
            nodes=_selector(given.get("nodes")),
            destination=_destination(given),
            shard_size=shard_size,
            gcs_slots=fields.whole(given, "gcs_slots", DEFAULT_GCS_SLOTS, 1, MAX_SLOTS),
            upload_slots=fields.whole_or_none(given, "upload_slots", 1, MAX_SLOTS),
            download_slots=fields.whole_or_none(given, "download_slots", 1, MAX_SLOTS),
            priority=fields.whole(given, "priority", 0, -MAX_PRIORITY, MAX_PRIORITY),
            policy=fields.choice(given, "policy", POLICIES),
            quorum=fields.part(given, "quorum"),
            own_zone=fields.flag(given, "own_zone", default=True),
            bucket_budget=parse_budget(given.get("bucket_budget")),
        )


def _selector(value: Any) -> dict[str, Any]:
    try:
        return parse_selector(value)
    except ValueError as error:
        raise PlanError("nodes", str(error)) from None


def _destination(given: Mapping[str, Any]) -> str | None:
    if "destination" not in given:
        return None
    destination = fields.text(given, "destination").rstrip("/")
    check_destination(destination)
    return destination
