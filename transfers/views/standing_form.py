"""A standing distribution by a form: a new one, and changes to one. The plan of its next version stands beside it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from transfers.audit import note
from transfers.errors import PlanError, SourceBusy
from transfers.foresight import preview
from transfers.links import get_links
from transfers.models import Standing
from transfers.standing import acts, versions
from transfers.standing.form import StandingChangeForm, StandingForm
from transfers.standing.request import StandingRequest
from transfers.views.access import needs
from transfers.views.plan import choices, preview_answer, shown

Plan = dict[str, Any]
START = ("name", "source", "destination", "labels")
WAITED_FOR = ("source", "nodes")


@require_http_methods(["GET", "HEAD", "POST"])
@needs("transfers.add_standing")
def new_standing(request: HttpRequest) -> HttpResponse:
    """Shows the form; makes one of it, or says what is wrong with it, or shows the plan where that was pressed."""
    if request.method != "POST":
        start = {name: request.GET[name] for name in START if name in request.GET}
        return _page(request, StandingForm(initial=start | ({"who": "labels"} if "labels" in start else {})))
    form = StandingForm(request.POST)
    if form.is_valid():
        if "preview" in request.POST:
            return _page(request, form, foreseen(form))
        try:
            made = acts.create(form.request(), request.user)
        except (PlanError, SourceBusy) as error:
            form.refused(error)
        else:
            note(request.user, made, "Added", made=True)
            return redirect(made)
    return _page(request, form)


@require_http_methods(["GET", "HEAD", "POST"])
@needs("transfers.change_standing")
def change_standing(request: HttpRequest, name: str) -> HttpResponse:
    """The same for one that is there; what was not touched stays as it is."""
    standing = _found(name)
    form = StandingChangeForm(standing, request.POST or None)
    if form.is_valid():
        if "preview" in request.POST:
            return _page(request, form, foreseen(form, standing), standing)
        changes = form.changes()
        try:
            acts.change(standing, changes)
        except PlanError as error:
            form.refused(error)
        else:
            if changes:
                note(request.user, standing, f"Changed {', '.join(sorted(changes))}")
            else:
                messages.info(request, "Nothing was changed.")
            return redirect(standing)
    return _page(request, form, standing=standing)


@require_POST
@needs("transfers.add_standing")
def preview_standing(request: HttpRequest) -> JsonResponse:
    form = StandingForm(request.POST)
    return preview_answer(form, foreseen(form) if form.is_valid() else None)


@require_POST
@needs("transfers.change_standing")
def preview_change(request: HttpRequest, name: str) -> JsonResponse:
    standing = _found(name)
    form = StandingChangeForm(standing, request.POST)
    return preview_answer(form, foreseen(form, standing) if form.is_valid() else None)


def foreseen(form: StandingForm, standing: Standing | None = None) -> Plan | None:
    """What the next version would do; None, and the errors in the form, when there could be none.

    A source that is still empty and nodes that are not there yet are no errors: the version waits for them, and the
    plan is a sentence that says so.
    """
    try:
        asked, number = _next_version(form, standing)
    except (PlanError, SourceBusy) as error:
        form.refused(error)
        return None
    try:
        return shown(preview(versions.as_job(asked, number, asked.nodes)))
    except PlanError as error:
        if error.field in WAITED_FOR:
            return {"waits": error.message}
        form.refused(error)
    except SourceBusy as error:
        form.refused(error)
    return None


def _next_version(form: StandingForm, standing: Standing | None) -> tuple[StandingRequest, int]:
    """What is asked for, and the number that its next version would have. Raises PlanError, SourceBusy."""
    if standing is None:
        asked, _ = acts.examine(form.request(), get_links())
        return asked, 1
    asked = StandingRequest.from_dict({**acts.as_request(standing), **form.changes()})
    return asked, versions.last_number(standing) + 1


def _found(name: str) -> Standing:
    return get_object_or_404(Standing, name=name, cell=settings.FDIST_CELL)


def _page(
    request: HttpRequest, form: StandingForm, plan: Plan | None = None, standing: Standing | None = None
) -> HttpResponse:
    context = {"form": form, "plan": plan, "standing": standing, **choices()}
    return render(request, "transfers/standing_form.html", context)
