"""Standing distributions: the list, and one of them live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import redis
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from transfers.audit import note
from transfers.errors import InvalidTransition, PlanError
from transfers.live.standing import OneStanding, read_standing
from transfers.models import Standing
from transfers.standing import acts
from transfers.standing.report import in_cell, measured
from transfers.views.access import needs
from transfers.views.streams import searched


@dataclass(frozen=True)
class Act:
    """A button. run: takes the standing distribution, who presses, and the form's number. ends: there is none left."""

    name: str
    text: str
    permissions: tuple[str, ...]
    run: Callable[[Standing, str, int | None], object]
    past: str
    ask: str = ""
    ends: bool = False


CHANGE = ("transfers.change_standing",)
ACTS = {
    act.name: act
    for act in (
        Act("check", "Check now", CHANGE, lambda it, who, n: acts.check(it), "Checked"),
        Act(
            "pause",
            "Pause",
            CHANGE,
            lambda it, who, n: acts.pause(it, f"by {who}"),
            "Paused",
        ),
        Act(
            "resume",
            "Resume",
            CHANGE,
            lambda it, who, n: acts.resume(it, f"by {who}"),
            "Resumed",
        ),
        Act(
            "rollback",
            "Roll back",
            ("transfers.rollback_standing",),
            lambda it, who, n: acts.rollback(it, n, f"by {who}"),
            "Rolled back",
            ask="Have every node use an earlier version now?",
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


@require_safe
@needs("transfers.view_standing")
def standings(request: HttpRequest) -> HttpResponse:
    """What changes comes by `standings_events`."""
    rows = [measured(standing) for standing in in_cell(settings.FDIST_CELL).order_by("name")]
    return render(request, "transfers/standings.html", {"standings": rows})


@require_safe
@needs("transfers.view_standing")
def standing(request: HttpRequest, name: str) -> HttpResponse:
    """One of them; what changes comes by `standing_events`."""
    context = read_standing(settings.FDIST_CELL, OneStanding(name, searched(request)))
    if context is None:
        raise Http404
    may = [act for act in ACTS.values() if request.user.has_perms(act.permissions)]
    buttons = {
        "buttons": [act for act in may if not act.ends],
        "ends": [act for act in may if act.ends],
        "may_roll_back": ACTS["rollback"] in may,
    }
    return render(request, "transfers/standing.html", {**context, **buttons})


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
