"""Standing distributions: the list, and one of them as it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from nodes.labels import describe
from transfers.api.standing import nodes_of
from transfers.audit import note
from transfers.dataplane.current import LINK
from transfers.errors import InvalidTransition, PlanError
from transfers.models import Standing, StandingEvent, StandingEventKind, StandingNode
from transfers.standing import acts
from transfers.standing.report import state_of, version_state, versions_with_figures, with_figures
from transfers.views.access import needs

SHOWN_VERSIONS = 12
SHOWN_NODES = 100
SHOWN_EVENTS = 100


@dataclass(frozen=True)
class Act:
    """A button. run: takes the standing distribution, who presses, and the form's number."""

    name: str
    text: str
    permissions: tuple[str, ...]
    run: Callable[[Standing, str, int | None], object]
    past: str
    ask: str = ""
    fits: Callable[[Any], bool] = lambda standing: True
    ends: bool = False


CHANGE = ("transfers.change_standing",)
ACTS = {
    act.name: act
    for act in (
        Act("check", "Check now", CHANGE, lambda it, who, n: acts.check(it), "Checked", fits=lambda it: not it.paused),
        Act(
            "pause",
            "Pause",
            CHANGE,
            lambda it, who, n: acts.pause(it, f"by {who}"),
            "Paused",
            fits=lambda it: not it.paused,
        ),
        Act(
            "resume",
            "Resume",
            CHANGE,
            lambda it, who, n: acts.resume(it, f"by {who}"),
            "Resumed",
            fits=lambda it: it.paused or it.passed_over,
        ),
        Act(
            "rollback",
            "Roll back",
            ("transfers.rollback_standing",),
            lambda it, who, n: acts.rollback(it, n, f"by {who}"),
            "Rolled back",
            ask="Have every node use an earlier version now?",
            fits=lambda it: it.wanted_id is not None,
        ),
        Act(
            "delete",
            "End, keep copies",
            ("transfers.delete_standing",),
            lambda it, who, n: acts.delete(it, purge=False),
            "Deleted, copies: keep",
            ask="End it, and leave versions and links on the nodes as they are?",
            ends=True,
        ),
        Act(
            "purge",
            "End, remove copies",
            ("transfers.delete_standing", "transfers.purge_job"),
            lambda it, who, n: acts.delete(it, purge=True),
            "Deleted, copies: purge",
            ask="End it, and remove its versions and links from every node?",
            ends=True,
        ),
    )
}


def of_cell() -> QuerySet[Standing]:
    rows = Standing.objects.filter(cell=settings.FDIST_CELL).select_related("wanted__job", "created_by")
    return with_figures(rows)


def measured(standing: Any) -> Any:
    """With its state, and what a row of a list shows."""
    standing.state = state_of(standing)
    standing.shown_state = standing.state.replace("_", " ")
    standing.for_nodes = describe(standing.selector)
    standing.link = f"{standing.destination}/{LINK}" if standing.destination else LINK
    return standing


@require_safe
@needs("transfers.view_standing")
def standings(request: HttpRequest) -> HttpResponse:
    """All of them: there are as many as there are models, not as there are nodes."""
    rows = [measured(standing) for standing in of_cell().order_by("name")]
    return render(request, "transfers/standings.html", {"standings": rows})


@require_safe
@needs("transfers.view_standing")
def standing(request: HttpRequest, name: str) -> HttpResponse:
    """One of them. With `?part` only what changes, which the page asks for again and again."""
    found = measured(get_object_or_404(of_cell(), name=name))
    template = "transfers/parts/standing.html" if "part" in request.GET else "transfers/standing.html"
    return render(request, template, context_of(found, request))


def context_of(found: Any, request: HttpRequest) -> dict[str, Any]:
    text = request.GET.get("node", "").strip()
    versions = list(versions_with_figures(found)[:SHOWN_VERSIONS])
    used = [version for version in versions if version.retired_at is None and version.current_at is not None]
    for version in versions:
        version.state = version_state(version, found)  # type: ignore[attr-defined]
    nodes = nodes_of(found).order_by("-behind", "node__name")
    if text:
        nodes = nodes.filter(node__name__icontains=text)
    shown = list(nodes[: SHOWN_NODES + 1])
    may = request.user.has_perms
    return {
        "standing": found,
        "versions": versions,
        "shares": shares(found),
        "earlier": [version.number for version in used if version.pk != found.wanted_id],
        "nodes": shown[:SHOWN_NODES],
        "more_nodes": max(0, nodes.count() - SHOWN_NODES) if len(shown) > SHOWN_NODES else 0,
        "node": text,
        "events": events_of(found),
        "acts": [act for act in ACTS.values() if not act.ends and act.fits(found) and may(act.permissions)],
        "ends": [act for act in ACTS.values() if act.ends and may(act.permissions)],
        "may_roll_back": may(ACTS["rollback"].permissions),
    }


def events_of(found: Standing) -> list[StandingEvent]:
    """The newest first, in words."""
    rows = list(StandingEvent.objects.filter(standing=found).order_by("-id")[:SHOWN_EVENTS])
    for row in rows:
        row.text = TEXTS.get(row.kind, row.kind)  # type: ignore[attr-defined]
    return rows


def shares(found: Standing) -> list[dict[str, Any]]:
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


@require_POST
@login_required
def standing_act(request: HttpRequest, name: str, act: str) -> HttpResponse:
    """The buttons on the page."""
    if act not in ACTS:
        raise Http404
    if not request.user.has_perms(["transfers.view_standing", *ACTS[act].permissions]):
        raise PermissionDenied
    found = get_object_or_404(Standing.objects.select_related("wanted"), name=name, cell=settings.FDIST_CELL)
    number = request.POST.get("version", "")
    if ACTS[act].ends:
        note(request.user, found, ACTS[act].past)
    try:
        ACTS[act].run(found, str(request.user), int(number) if number.isdecimal() else None)
    except (InvalidTransition, PlanError) as error:
        messages.error(request, str(error))
    except redis.RedisError as error:
        messages.warning(request, f"The scheduler cannot be reached ({error}); try again later.")
    else:
        if ACTS[act].ends:
            return redirect("standings")
        note(request.user, found, ACTS[act].past)
    return redirect("standing", name=name)
