"""What a person or a program asks for, checked one option at a time before anything else is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from nodes.labels import parse_selector
from transfers.dataplane.names import check_destination
from transfers.errors import PlanError
from transfers.planning.budget import Budget, parse_budget
from transfers.planning.cutting import MAX_SHARD_SIZE, MIN_SHARD_SIZE
from transfers.planning.source import parse_source
from transfers.words import size_text

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
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise PlanError(unknown[0], f'"{unknown[0]}" is no option of a job; known are {", ".join(sorted(known))}')
        given = {key: value for key, value in data.items() if value is not None}
        source = _text(given, "source")
        if not source:
            raise PlanError("source", "a job needs a source, such as gs://bucket/prefix/")
        parse_source(source)
        name = _text(given, "name")
        if len(name) > MAX_NAME:
            raise PlanError("name", f"a job's name has at most {MAX_NAME} characters, this one has {len(name)}")
        shard_size = _whole(given, "shard_size", None, MIN_SHARD_SIZE, MAX_SHARD_SIZE, " bytes")
        return cls(
            source=source,
            name=name,
            topology=_choice(given, "topology", TOPOLOGIES),
            nodes=_selector(given.get("nodes")),
            destination=_destination(given),
            shard_size=shard_size,
            gcs_slots=_whole(given, "gcs_slots", DEFAULT_GCS_SLOTS, 1, MAX_SLOTS) or DEFAULT_GCS_SLOTS,
            upload_slots=_whole(given, "upload_slots", None, 1, MAX_SLOTS),
            download_slots=_whole(given, "download_slots", None, 1, MAX_SLOTS),
            priority=_whole(given, "priority", 0, -MAX_PRIORITY, MAX_PRIORITY) or 0,
            policy=_choice(given, "policy", POLICIES),
            quorum=_quorum(given.get("quorum", 1.0)),
            own_zone=_flag(given, "own_zone", default=True),
            bucket_budget=parse_budget(given.get("bucket_budget")),
        )


def _text(given: Mapping[str, Any], field_name: str) -> str:
    value = given.get(field_name, "")
    if not isinstance(value, str):
        raise PlanError(field_name, f"{field_name} is text, and {value!r} is not")
    if "\0" in value:
        raise PlanError(field_name, f"{field_name} has a NUL character in it")
    return value.strip()


def _choice(given: Mapping[str, Any], field_name: str, choices: Sequence[str]) -> str:
    """One of the choices, the first of which is taken where nothing is given."""
    value = _text(given, field_name) or choices[0]
    if value not in choices:
        known = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise PlanError(field_name, f'"{value}" is no {field_name}: choose {known}')
    return value


def _flag(given: Mapping[str, Any], field_name: str, *, default: bool) -> bool:
    value = given.get(field_name, default)
    if not isinstance(value, bool):
        raise PlanError(field_name, f"{field_name} is true or false, and {value!r} is not")
    return value


def _quorum(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise PlanError("quorum", f"quorum is the part of the nodes, above 0 and at most 1, and {value!r} is not")
    return float(value)


def _whole(
    given: Mapping[str, Any], field_name: str, default: int | None, least: int, most: int, unit: str = ""
) -> int | None:
    value = given.get(field_name, default)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise PlanError(field_name, f"{field_name} is a whole number{unit and f' of{unit}'}, and {value!r} is not")
    if not least <= value <= most:
        bounds = f"{size_text(least)} and {size_text(most)}" if unit else f"{least:,} and {most:,}"
        raise PlanError(field_name, f"{field_name} is {value:,}{unit} and must be between {bounds}")
    return value


def _selector(value: Any) -> dict[str, Any]:
    try:
        return parse_selector(value)
    except ValueError as error:
        raise PlanError("nodes", str(error)) from None


def _destination(given: Mapping[str, Any]) -> str | None:
    if "destination" not in given:
        return None
    destination = _text(given, "destination").rstrip("/")
    check_destination(destination)
    return destination
