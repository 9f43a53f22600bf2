"""Jobs: the list, and one of them live."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

import redis
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from nodes.labels import describe
from transfers.acts import ACTS
from transfers.api.views import with_counts
from transfers.audit import note
from transfers.errors import InvalidTransition
from transfers.models import Job, JobEvent, JobEventKind, JobState, RateSample, StandingVersion
from transfers.sampling import series, spans
from transfers.views.access import needs
from transfers.views.fleet import measured

PAGE_SIZE = 25
SHOWN_FILES = 200
SHOWN_EVENTS = 200
MOST_SAMPLES = 20_000  # of two seconds each: the last eleven hours
NODE_STATES = ("moving", "waiting", "ready", "enrolled", "stopped", "failed", "dead", "done")  # as live pages say them


@require_safe
@needs("transfers.view_job")
def jobs(request: HttpRequest) -> HttpResponse:
    """Jobs, newest first."""
    state, text = request.GET.get("state", ""), request.GET.get("name", "").strip()
    rows = with_counts(Job.objects.filter(cell=settings.FDIST_CELL).select_related("created_by"))
    if state in JobState.values:
        rows = rows.filter(state=state)
    if text:
        rows = rows.filter(name__icontains=text) | rows.filter(source__icontains=text)
    context = {
        "page": Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page")),
        "state": state,
        "name": text,
        "states": JobState.choices,
        "kept": urlencode({"name": text}) + "&" if text else "",
        "query": urlencode({key: value for key, value in (("state", state), ("name", text)) if value}) + "&",
    }
    return render(request, "transfers/jobs.html", context)


@require_safe
@needs("transfers.view_job")
def job(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A job as the record knows it; what moves comes by `job_events`."""
    rows = with_counts(Job.objects.filter(cell=settings.FDIST_CELL).select_related("created_by"))
    found = measured(get_object_or_404(rows, pk=pk))
    happened = recent_events(found)
    context = {
        "job": found,
        "for_nodes": describe(found.selector),
        "version": StandingVersion.objects.filter(job=found).select_related("standing").first(),
        "node_states": NODE_STATES,
        "files": found.files.all()[:SHOWN_FILES],
        "files_left_out": max(0, found.file_count - SHOWN_FILES),
        "acts": [act for act in ACTS.values() if act.fits(found) and request.user.has_perm(act.permission)],
        "happened": happened,
        "last_event": happened[-1]["id"] if happened else 0,
        "series": throughput(found),
    }
    return render(request, "transfers/job.html", context)


def recent_events(job: Job) -> list[dict[str, Any]]:
    """The newest events, oldest first, as the stream tells those that follow. Enrolments are left out: one a node."""
    rows = JobEvent.objects.filter(job=job).exclude(kind=JobEventKind.ENROLLED).select_related("node")
    return [
        {
            "id": row.id,
            "at": row.at.isoformat(),
            "kind": row.kind,
            "node": row.node.name if row.node else None,
            "state": row.state,
            "why": row.why,
        }
        for row in reversed(rows.order_by("-id")[:SHOWN_EVENTS])
    ]


def throughput(job: Job) -> list[list[float]]:
    """From the job's begin until now, or its end."""
    if job.started_at is None:
        return [[], [], []]
    samples = RateSample.objects.filter(job=job).order_by("-at")[:MOST_SAMPLES]
    found = list(spans(samples))
    end = job.finished_at or timezone.now()
    # The last sample of a job is taken after its end.
    until = max([end.timestamp(), *(ended for ended, _, _ in found)])
    return series(found, job.started_at, end.fromtimestamp(until, end.tzinfo), columns=2)


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
