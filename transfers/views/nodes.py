"""Nodes: the list, and one of them live, with what it holds and what it moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, cast
from urllib.parse import urlencode

import redis
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.decorators import login_required
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from rest_framework.serializers import ValidationError

from nodes import fleet
from nodes.api import NodeFilter
from nodes.heard import as_heard
from nodes.models import Node, NodeState
from transfers.audit import note
from transfers.errors import InvalidTransition
from transfers.links import get_links
from transfers.models import Job, JobEvent, JobNode, Transfer
from transfers.sampling import Span, series
from transfers.views.access import needs
from transfers.views.holdings import holdings

PAGE_SIZE = 50
SHOWN_TRANSFERS = 60
SHOWN_OF_TRANSFERS = ("ended_at", "shard", "bytes", "milliseconds", "outcome", "why")
SHOWN_HISTORY = 60
MINUTES = 15
MOST_SPANS = 4000
EVENTS = {
    "enrolled": "enrolled in",
    "node_done": "done with",
    "node_failed": "failed",
    "disputed": "found a wrong checksum in",
    "moved": "moved to the end of the chain of",
}


@dataclass(frozen=True)
class NodeAct:
    """As transfers.acts.Act, for nodes."""

    name: str
    states: tuple[str, ...]
    permission: str
    run: Callable[[Node], None]
    past: str
    ask: str = ""


ACTS = {
    act.name: act
    for act in (
        NodeAct(
            "drain",
            ("live",),
            "nodes.drain_node",
            lambda node: fleet.set_draining(node, True, get_links().scheduler),
            "Drained",
            ask="It begins no download until it is enabled again, and still serves what it has. Drain it?",
        ),
        NodeAct(
            "enable",
            ("draining",),
            "nodes.drain_node",
            lambda node: fleet.set_draining(node, False, get_links().scheduler),
            "Enabled",
        ),
        NodeAct(
            "remove",
            ("dead", "left"),
            "nodes.remove_node",
            fleet.remove,
            "Removed",
            ask="Take this node out of the lists? It is back as soon as it registers again.",
        ),
    )
}


@dataclass(frozen=True)
class Happening:
    at: datetime
    kind: str
    text: str
    job: Job | None = None
    why: str = ""


def of_cell() -> Any:
    return Node.objects.filter(cell=settings.FDIST_CELL)


@require_safe
@needs("nodes.view_node")
def nodes(request: HttpRequest) -> HttpResponse:
    """Nodes by name, narrowed by state, part of the name and labels."""
    asked = {key: request.GET.get(key, "").strip() for key in ("state", "name", "labels")}
    rows, error = of_cell(), ""
    if not asked["state"]:
        rows = rows.exclude(state=NodeState.REMOVED)
    try:
        rows = NodeFilter(request.GET, rows).qs
    except ValidationError as refused:
        error = " ".join(str(said) for said in cast("dict[str, list[object]]", refused.detail)["labels"])
    page = Paginator(rows.order_by("name"), PAGE_SIZE).get_page(request.GET.get("page"))
    held = dict(
        JobNode.objects.filter(node__in=[node.pk for node in page.object_list], shards_held__gt=0, job__purged_at=None)
        .order_by()
        .values_list("node")
        .annotate(n=Count("pk"))
    )
    page.object_list = as_heard(page.object_list, get_links().scheduler)
    for node in page.object_list:
        measured(node)
        node.jobs_held = held.get(node.pk, 0)  # type: ignore[attr-defined]
    counts = dict(of_cell().order_by().values_list("state").annotate(n=Count("pk")))
    kept = {key: asked[key] for key in ("name", "labels") if asked[key]}
    context = {
        "page": page,
        "all_nodes": sum(number for state, number in counts.items() if state != NodeState.REMOVED),
        "states": [(state, counts[state]) for state in NodeState.values if state in counts],
        "kept": urlencode(kept) + "&" if kept else "",
        "query": urlencode({key: value for key, value in asked.items() if value}) + "&",
        "error": error,
        **asked,
    }
    return render(request, "transfers/nodes.html", context)


def measured(node: Node) -> Node:
    node.disk_used = max(0, node.disk_total - node.disk_free)  # type: ignore[attr-defined]
    return node


@require_safe
@needs("nodes.view_node")
def node(request: HttpRequest, name: str) -> HttpResponse:
    """A node as the record knows it; what moves comes by `node_events`."""
    [found] = as_heard([measured(get_object_or_404(of_cell(), name=name))], get_links().scheduler)
    context = {
        "node": found,
        "holdings": holdings(found),
        "transfers": ended_transfers(found),
        "history": history(found),
        "acts": [act for act in ACTS.values() if request.user.has_perm(act.permission)],
        "minutes": MINUTES,
        "series": rates(found),
    }
    return render(request, "transfers/node.html", context)


def ended_transfers(node: Node) -> list[Transfer]:
    """To it and from it, newest first."""
    names = ("node__name", "source__name", "job__name", "job__source")
    rows = Transfer.objects.select_related("node", "source", "job").only(*SHOWN_OF_TRANSFERS, *names)
    ends = [rows.filter(**{end: node}).order_by("-ended_at")[:SHOWN_TRANSFERS] for end in ("node", "source")]
    return sorted(chain(*ends), key=lambda row: row.ended_at, reverse=True)[:SHOWN_TRANSFERS]


def history(node: Node) -> list[Happening]:
    """What happened on it, and what people did to it, newest first."""
    events = JobEvent.objects.filter(node=node).select_related("job").order_by("-id")[:SHOWN_HISTORY]
    found = [Happening(e.at, e.kind, EVENTS.get(e.kind, e.kind), e.job, e.why) for e in events]
    kind = ContentType.objects.get_for_model(Node)
    notes = LogEntry.objects.filter(content_type=kind, object_id=str(node.pk)).select_related("user")
    found += [
        Happening(entry.action_time, "person", f"{entry.get_change_message().rstrip('.')} by {entry.user}")
        for entry in notes.order_by("-action_time")[:SHOWN_HISTORY]
    ]
    return sorted(found, key=lambda each: each.at, reverse=True)[:SHOWN_HISTORY]


def rates(node: Node) -> list[list[float]]:
    """What it sent, received and read from the bucket, by the transfers that ended lately."""
    end = timezone.now()
    begin = end - timedelta(minutes=MINUTES)
    rows = Transfer.objects.filter(ended_at__gt=begin).order_by("-ended_at")
    fields = ("ended_at", "milliseconds", "bytes", "source_id")
    received = rows.filter(node=node).values_list(*fields)[:MOST_SPANS]
    sent = rows.filter(source=node).values_list(*fields)[:MOST_SPANS]
    return series(_spans(received, sent), begin, end, columns=3)


def _spans(received: Any, sent: Any) -> Iterator[Span]:
    for at, milliseconds, amount, source in received:
        yield at.timestamp(), max(1, milliseconds) / 1000, (0, amount, 0 if source else amount)
    for at, milliseconds, amount, _ in sent:
        yield at.timestamp(), max(1, milliseconds) / 1000, (amount, 0, 0)


@require_POST
@login_required
def node_act(request: HttpRequest, name: str, act: str) -> HttpResponse:
    """The buttons on the page."""
    if act not in ACTS:
        raise Http404
    if not request.user.has_perms(["nodes.view_node", ACTS[act].permission]):
        raise PermissionDenied
    found = get_object_or_404(of_cell(), name=name)
    try:
        ACTS[act].run(found)
    except InvalidTransition as error:
        messages.error(request, str(error))
    except redis.RedisError as error:
        messages.warning(request, f"The scheduler cannot be reached ({error}); try again later.")
    else:
        note(request.user, found, ACTS[act].past)
    return redirect("node", name=name)
