"""The streams that pages follow; see transfers.live. 403 without a session, so that a page stops asking."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from nodes.models import Node
from transfers.links import get_links
from transfers.live.feed import stream
from transfers.live.standing import EveryStanding, OneStanding
from transfers.live.subjects import About
from transfers.models import Job, Standing

MOST_SEARCH = 63  # as long as a node's name
Answer = HttpResponse | StreamingHttpResponse


@require_safe
async def fleet_events(request: HttpRequest) -> Answer:
    return await refused(request, "transfers.view_job") or following(None)


@require_safe
async def job_events(request: HttpRequest, pk: uuid.UUID) -> Answer:
    """after: the last event that the page has, in the query."""
    if (answer := await refused(request, "transfers.view_job")) is not None:
        return answer
    if not await Job.objects.filter(pk=pk, cell=settings.FDIST_CELL).aexists():
        return plain("no such job", 404)
    last = request.headers.get("Last-Event-ID", "") or request.GET.get("after", "")
    return following(pk, int(last) if last.isascii() and last.isdigit() else None)


@require_safe
async def node_events(request: HttpRequest, name: str) -> Answer:
    if (answer := await refused(request, "nodes.view_node")) is not None:
        return answer
    if not await Node.objects.filter(name=name, cell=settings.FDIST_CELL).aexists():
        return plain("no such node", 404)
    return following(name)


@require_safe
async def standing_events(request: HttpRequest, name: str) -> Answer:
    """node: part of the names of the nodes that are listed, in the query."""
    if (answer := await refused(request, "transfers.view_standing")) is not None:
        return answer
    if not await Standing.objects.filter(name=name, cell=settings.FDIST_CELL).aexists():
        return plain("no such standing distribution", 404)
    return following(OneStanding(name, searched(request)))


@require_safe
async def standings_events(request: HttpRequest) -> Answer:
    return await refused(request, "transfers.view_standing") or following(EveryStanding())


def searched(request: HttpRequest) -> str:
    """Of the nodes of a standing distribution."""
    return request.GET.get("node", "").strip()[:MOST_SEARCH]


async def refused(request: HttpRequest, permission: str) -> HttpResponse | None:
    user = await request.auser()
    if not user.is_authenticated or not await user.ahas_perm(permission):
        return plain("log in first", 403)
    return None


def plain(text: str, status: int) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain")


def following(about: About, after: int | None = None) -> StreamingHttpResponse:
    response = StreamingHttpResponse(stream(get_links(), about, after=after), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response
