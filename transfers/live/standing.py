"""Standing distributions at one moment, as their pages get them. What is shown is drawn here, by the templates that
also draw the first paint: pages replace what differs.

One of them: {"state", "shown": its state in words, "acts": what may be done now, "earlier": versions to go back to,
              "parts": {name: HTML, ...}}                         of the parts, those that changed
All of them: {"order": names, "rows": {name: HTML of its row, ...}}      of the rows, those that changed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.template.loader import render_to_string

from transfers.models import Standing, StandingEvent, StandingEventKind, StandingNode
from transfers.standing import acts
from transfers.standing.report import in_cell, measured, nodes_of, version_state, versions_with_figures

SHOWN_VERSIONS = 12
SHOWN_NODES = 100
SHOWN_EVENTS = 100
PARTS = ("where", "notices", "now", "shares", "versions", "nodes", "events", "about")
ROW = "transfers/parts/standing/row.html"
TEXTS: dict[str, str] = {
    StandingEventKind.CREATED: "created",
    StandingEventKind.CHANGED: "changed",
    StandingEventKind.STARTED: "begins to move",
    StandingEventKind.SWITCHED: "is to be used",
    StandingEventKind.REACHED: "is in use",
    StandingEventKind.BACK: "is to be used again: rolled back",
    StandingEventKind.SUPERSEDED: "gives way to a newer one",
    StandingEventKind.RETIRED: "is removed from nodes",
    StandingEventKind.FAILED: "failed",
    StandingEventKind.TROUBLE: "no new version",
    StandingEventKind.PAUSED: "paused",
    StandingEventKind.RESUMED: "resumed",
    StandingEventKind.JOINED: "joined",
    StandingEventKind.LEFT: "left",
}


@dataclass(frozen=True)
class OneStanding:
    """What a stream can be about. search: part of the names of the nodes that are listed."""

    name: str
    search: str = ""


@dataclass(frozen=True)
class EveryStanding:
    """The list of all of them: there are as many as there are models, not as there are nodes."""


def read_standing(cell: str, about: OneStanding) -> dict[str, Any] | None:
    """What its templates show; None when there is none of that name. Cost: five statements of the database."""
    found = in_cell(cell).filter(name=about.name).first()
    return None if found is None else context_of(measured(found), about.search)


def context_of(found: Any, search: str = "") -> dict[str, Any]:
    """found: with its figures, and measured."""
    versions = list(versions_with_figures(found)[:SHOWN_VERSIONS])
    used = [version for version in versions if version.retired_at is None and version.current_at is not None]
    for version in versions:
        version.state = version_state(version, found)  # type: ignore[attr-defined]
    nodes = nodes_of(found).order_by("-behind", "node__name")
    if search:
        nodes = nodes.filter(node__name__icontains=search)
    shown = list(nodes[: SHOWN_NODES + 1])
    earlier = [version.number for version in used if version.pk != found.wanted_id]
    return {
        "standing": found,
        "versions": versions,
        "shares": _shares(found),
        "earlier": earlier,
        "nodes": shown[:SHOWN_NODES],
        "more_nodes": max(0, nodes.count() - SHOWN_NODES) if len(shown) > SHOWN_NODES else 0,
        "search": search,
        "events": _events(found),
        "acts": acts.possible(found, earlier=bool(earlier)),
    }


def message_of(context: Mapping[str, Any]) -> dict[str, Any]:
    """All of what a page shows."""
    found = context["standing"]
    return {
        "state": found.state,
        "shown": found.shown_state,
        "acts": context["acts"],
        "earlier": context["earlier"],
        "parts": {part: render_to_string(f"transfers/parts/standing/{part}.html", dict(context)) for part in PARTS},
    }


def read_standings(cell: str) -> dict[str, Any]:
    rows = {found.name: render_to_string(ROW, {"it": found}) for found in map(measured, in_cell(cell).order_by("name"))}
    return {"order": list(rows), "rows": rows}


def changed(now: Mapping[str, Any], before: Mapping[str, Any], pieces: str) -> dict[str, Any]:
    """A message with only those of its pieces of HTML that differ from the ones before."""
    old = before.get(pieces, {})
    return {**now, pieces: {name: text for name, text in now[pieces].items() if old.get(name) != text}}


def _events(found: Standing) -> list[StandingEvent]:
    """The newest first, in words."""
    rows = list(StandingEvent.objects.filter(standing=found).order_by("-id")[:SHOWN_EVENTS])
    for row in rows:
        row.text = TEXTS.get(row.kind, row.kind)  # type: ignore[attr-defined]
    return rows


def _shares(found: Standing) -> list[dict[str, Any]]:
    """How many nodes use each version, the newest first; last those that use none."""
    rows = (
        StandingNode.objects.filter(standing=found, leaving=False)
        .order_by()
        .values("uses__number")
        .annotate(n=Count("pk"))
    )
    return sorted(
        ({"number": row["uses__number"], "nodes": row["n"]} for row in rows),
        key=lambda row: -(row["number"] or 0),
    )
