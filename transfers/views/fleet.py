"""The first page: the fleet, how fast it moves, and what it does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from nodes.models import Node, NodeState
from transfers.api.views import with_counts
from transfers.models import FINAL_STATES, Job, RateSample
from transfers.sampling import series, spans
from transfers.standing.report import in_cell
from transfers.standing.report import measured as measured_standing
from transfers.views.access import needs

MINUTES = 30
SHOWN_ENDED = 6
UP = (NodeState.LIVE, NodeState.DRAINING)
ORDER = [NodeState.LIVE, NodeState.DRAINING, NodeState.DEAD, NodeState.LEFT]


@require_safe
@needs("transfers.view_job")
def fleet(request: HttpRequest) -> HttpResponse:
    """What moves comes by `fleet_events`."""
    rows = Node.objects.filter(cell=settings.FDIST_CELL).exclude(state=NodeState.REMOVED).order_by()
    states = {
        row["state"]: row
        for row in rows.values("state").annotate(n=Count("pk"), free=Sum("disk_free"), total=Sum("disk_total"))
    }
    up = [row for state, row in states.items() if state in UP]
    jobs = Job.objects.filter(cell=settings.FDIST_CELL)
    context: dict[str, Any] = {
        "all_nodes": sum(row["n"] for row in states.values()),
        "by_state": [(state.value, states[state]["n"]) for state in ORDER if state in states],
        "disk_free": sum(row["free"] for row in up),
        "disk_total": sum(row["total"] for row in up),
        "jobs": [measured(job) for job in with_counts(jobs.open().order_by("-priority", "created_at"))],
        "ended": jobs.filter(state__in=FINAL_STATES).order_by("-finished_at")[:SHOWN_ENDED],
        "minutes": MINUTES,
        "series": recent(RateSample.objects.filter(cell=settings.FDIST_CELL, job=None)),
    }
    if request.user.has_perm("transfers.view_standing"):
        context["standings"] = [measured_standing(each) for each in in_cell(settings.FDIST_CELL).order_by("name")]
    return render(request, "transfers/fleet.html", context)


def recent(samples: QuerySet[RateSample]) -> list[list[float]]:
    end = timezone.now()
    begin = end - timedelta(minutes=MINUTES)
    return series(spans(samples.filter(at__gt=begin)), begin, end, columns=2)


def measured(job: Any) -> Any:
    """The job, with the part of it that is done, of all its nodes, for the first paint."""
    job.part = job.shards_held / job.shards_wanted if job.shards_wanted else 0.0
    job.percent = f"{int(job.part * 1000) / 10:.1f}"
    return job
