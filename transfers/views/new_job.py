"""A new job by a form: paths are completed, the plan shows before anything moves, errors stand beside their field."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from transfers import submission
from transfers.audit import note
from transfers.errors import PlanError, SourceBusy
from transfers.foresight import preview
from transfers.forms import JobForm
from transfers.links import get_links
from transfers.repeats import KeyReused, Repeated, Stamp, find_repeated
from transfers.views.access import needs
from transfers.views.plan import choices, preview_answer, shown


@require_http_methods(["GET", "HEAD", "POST"])
@needs("transfers.add_job")
def new_job(request: HttpRequest) -> HttpResponse:
    """Shows the form; submits it, or says what is wrong with it, or shows its plan where "preview" was pressed."""
    if request.method != "POST":
        start = {name: request.GET[name] for name in ("source", "topology", "destination") if name in request.GET}
        return _form(request, JobForm(initial=start))
    form = JobForm(request.POST)
    if form.is_valid():
        if "preview" in request.POST:
            return _form(request, form, foreseen(form))
        job = _submit(request, form)
        if job is not None:
            return redirect("job", pk=job.pk)
    return _form(request, form)


def _submit(request: HttpRequest, form: JobForm) -> Any:
    """The job, also when the same form was sent before; None, and the errors in the form, when it was refused."""
    asked = form.request()
    stamp = Stamp.of(str(form.cleaned_data["key"]), asked)
    try:
        job = find_repeated(stamp, request.user, settings.FDIST_CELL)
        if job is None:
            job = submission.submit(asked, request.user, stamp=stamp)
            note(request.user, job, "Submitted", made=True)
        return job
    except Repeated as repeated:
        return repeated.job
    except (PlanError, SourceBusy, KeyReused) as error:
        form.refused(error)
    return None


def _form(request: HttpRequest, form: JobForm, plan: dict[str, Any] | None = None) -> HttpResponse:
    return render(request, "transfers/new_job.html", {"form": form, "plan": plan, **choices()})


def foreseen(form: JobForm) -> dict[str, Any] | None:
    """What the job would do; None, and the errors in the form, when no job could come of it."""
    try:
        found = preview(form.request())
    except (PlanError, SourceBusy) as error:
        form.refused(error)
        return None
    if found.refusal is not None:
        form.refuse(*found.refusal)
    return shown(found)


@require_POST
@needs("transfers.add_job")
def preview_job(request: HttpRequest) -> JsonResponse:
    """The plan of the form as it stands, for the page."""
    form = JobForm(request.POST)
    return preview_answer(form, foreseen(form) if form.is_valid() else None)


@require_safe
@needs("transfers.add_job", "transfers.add_standing")
def complete(request: HttpRequest) -> JsonResponse:
    """Paths that begin with `q`: {"paths": [{"path", "kind", "size"}, ...], "problem": sentence or ""}."""
    from transfers.completion import complete as paths  # the bucket's libraries, which no other page needs

    typed = request.GET.get("q", "")[:1100]
    try:
        return JsonResponse({"paths": paths(get_links().bucket, typed, settings.FDIST_CELL), "problem": ""})
    except (PlanError, SourceBusy) as error:
        return JsonResponse({"paths": [], "problem": str(error)})
