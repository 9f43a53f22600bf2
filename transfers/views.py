"""The pages: a list of jobs, and one job live."""

from __future__ import annotations

import uuid

import redis
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from nodes.labels import describe
from nodes.models import Node, NodeState
from transfers.acts import ACTS
from transfers.api.views import with_counts
from transfers.audit import note
from transfers.errors import InvalidTransition
from transfers.links import get_links
from transfers.live.feed import stream
from transfers.models import Job, JobState

PAGE_SIZE = 25
SHOWN_FILES = 200
NODE_STATES = ("moving", "waiting", "ready", "enrolled", "stopped", "failed", "dead", "done")  # as live pages say them


@require_safe
@login_required
@permission_required("transfers.view_job", raise_exception=True)
def jobs(request: HttpRequest) -> HttpResponse:
    """Jobs, newest first, and the fleet in a line."""
    state = request.GET.get("state", "")
    rows = with_counts(Job.objects.filter(cell=settings.FDIST_CELL).select_related("created_by"))
    if state in JobState.values:
        rows = rows.filter(state=state)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    fleet = Node.objects.filter(cell=settings.FDIST_CELL)
    context = {
        "page": page,
        "state": state,
        "states": JobState.choices,
        "live_nodes": fleet.filter(state=NodeState.LIVE).count(),
        "all_nodes": fleet.count(),
    }
    return render(request, "transfers/jobs.html", context)


@require_safe
@login_required
@permission_required("transfers.view_job", raise_exception=True)
def job(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The frame of a job's live page; what moves comes by `job_events`."""
    found = get_object_or_404(Job.objects.select_related("created_by"), pk=pk, cell=settings.FDIST_CELL)
    context = {
        "job": found,
        "for_nodes": describe(found.selector),
        "node_count": found.job_nodes.count(),
        "node_states": NODE_STATES,
        "files": found.files.all()[:SHOWN_FILES],
        "files_left_out": max(0, found.file_count - SHOWN_FILES),
        "acts": [act for act in ACTS.values() if request.user.has_perm(act.permission)],
    }
    return render(request, "transfers/job.html", context)


@require_safe
async def job_events(request: HttpRequest, pk: uuid.UUID) -> HttpResponse | StreamingHttpResponse:
    """Server-sent events of a job, see transfers.live. 403 without a session, so that the page stops asking."""
    user = await request.auser()
    if not user.is_authenticated or not await user.ahas_perm("transfers.view_job"):
        return HttpResponse("log in first", status=403, content_type="text/plain")
    if not await Job.objects.filter(pk=pk, cell=settings.FDIST_CELL).aexists():
        return HttpResponse("no such job", status=404, content_type="text/plain")
    response = StreamingHttpResponse(stream(get_links(), pk), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


@require_POST
@login_required
def job_act(request: HttpRequest, pk: uuid.UUID, act: str) -> HttpResponse:
    """The buttons on the page."""
    if act not in ACTS:
        raise Http404
    if not request.user.has_perms(["transfers.view_job", ACTS[act].permission]):
        raise PermissionDenied
    found = get_object_or_404(Job, pk=pk, cell=settings.FDIST_CELL)
    try:
        ACTS[act].run(found, str(request.user))
    except InvalidTransition as error:
        messages.error(request, str(error))
    except redis.RedisError as error:
        messages.warning(request, f"The scheduler cannot be reached ({error}); try again later.")
    else:
        note(request.user, found, ACTS[act].past)
    return redirect("job", pk=pk)
