"""What nodes say that their links name, into the record: whose word it is, who is behind, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from nodes.inventory import Inventory, Linked, is_job
from nodes.models import Node
from transfers.links import Links
from transfers.models import (
    JobNode,
    JobNodeState,
    Standing,
    StandingEvent,
    StandingEventKind,
    StandingNode,
    StandingVersion,
)
from transfers.standing.decide import needed
from transfers.standing.fleet import Fleet, Picked

BATCH = 500


def note(standing: Standing, fleet: Fleet, picked: Picked, links: Links) -> None:
    """Writes the rows of nodes that differ; nothing is taken back from a node that says nothing at the moment."""
    rows = {row.node_id: row for row in StandingNode.objects.filter(standing=standing)}
    versions = _named_versions(standing, fleet)
    failures = _failures(standing)
    new, changed, kept = [], [], set()
    now = timezone.now()
    for name, member in fleet.members.items():
        told, row = fleet.inventories.get(name), rows.get(member.pk)
        chosen = name in picked.chosen
        if not (chosen and (member.up or row)) and not (row and told and _has_something(standing, told, versions)):
            continue
        kept.add(member.pk)
        values: dict[str, Any] = {"leaving": not chosen}
        if told is not None:
            linked = told.links.get(standing.destination)
            values["uses_id"] = versions.get(linked.job) if linked else None
            values["why"] = (linked.error if linked else "") or failures.get(name, "")
        if row is None:
            new.append(StandingNode(standing=standing, node_id=member.pk, **values))
        elif any(getattr(row, field) != value for field, value in values.items()):
            moved = "uses_id" in values and values["uses_id"] != row.uses_id
            for field, value in values.items():
                setattr(row, field, value)
            row.changed_at = now if moved else row.changed_at
            row.pk = None  # it is found by what it is about
            changed.append(row)
    StandingNode.objects.bulk_create(
        new + changed,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["standing", "node"],
        update_fields=["uses", "leaving", "why", "changed_at"],
    )
    gone = rows.keys() - kept
    StandingNode.objects.filter(standing=standing, node_id__in=gone).delete()
    if rows:  # those that are there from the start did not join
        names = dict(Node.objects.filter(pk__in=[*gone, *(row.node_id for row in new)]).values_list("pk", "name"))
        joined = [(StandingEventKind.JOINED, names[row.node_id]) for row in new]
        left = [(StandingEventKind.LEFT, names[pk]) for pk in sorted(gone)]
        events = [StandingEvent(standing=standing, kind=kind, node=name) for kind, name in joined + left]
        StandingEvent.objects.bulk_create(events, batch_size=BATCH)


def note_reached(standing: Standing, counted: Collection[str]) -> bool:
    """Notes when the share of the nodes that count uses the current version first; says whether that is now."""
    version = standing.wanted
    if version is None or version.reached_at is not None or not counted:
        return False
    using = StandingNode.objects.filter(standing=standing, uses=version, node__name__in=list(counted)).count()
    if using < needed(standing.share, len(counted)):
        return False
    version.reached_at = timezone.now()
    version.save(update_fields=["reached_at"])
    StandingEvent.of(standing, StandingEventKind.REACHED, version=version.number)
    return True


def _named_versions(standing: Standing, fleet: Fleet) -> dict[str, int]:
    """The keys of the versions whose jobs links name, by job."""
    linked = (told.links.get(standing.destination) for told in fleet.inventories.values())
    jobs = {each.job for each in linked if each is not None and is_job(each.job)}
    found = StandingVersion.objects.filter(standing=standing, job__in=[UUID(hex=job) for job in jobs])
    return {job.hex: pk for pk, job in found.values_list("pk", "job")}


def _failures(standing: Standing) -> dict[str, str]:
    """Why nodes could not take the newest version on which they failed."""
    rows = (
        JobNode.objects.filter(
            job__standing_version__standing=standing,
            job__standing_version__retired_at=None,
            state=JobNodeState.FAILED,
        )
        .order_by("job__standing_version__number")
        .values_list("node__name", "job__standing_version__number", "error")
    )
    return {name: f"version {number}: {error or 'it failed there'}" for name, number, error in rows}


def _has_something(standing: Standing, told: Inventory, versions: Mapping[str, int]) -> bool:
    linked: Linked | None = told.links.get(standing.destination)
    return (linked is not None and linked.job in versions) or any(job in versions for job in told.jobs)
