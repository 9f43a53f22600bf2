"""Server-sent events over REST: one job, or the whole fleet. See transfers.live, which feeds the pages as well."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from transfers.api.permissions import needs
from transfers.links import get_links
from transfers.live.feed import stream
from transfers.models import Job

MAX_ID = 2**63 - 1
AFTER = OpenApiParameter(
    "after", OpenApiTypes.INT64, description="the last event that you saw, if you cannot send Last-Event-ID; 0 for all"
)
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID", OpenApiTypes.STR, OpenApiParameter.HEADER, description="sent by browsers when they come back"
)
BRIEF = OpenApiParameter(
    "brief", OpenApiTypes.BOOL, description="leave out which shards each node holds, or the nodes of the fleet"
)
ANSWER = {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, description="until the client hangs up")}


class EventStreamRenderer(JSONRenderer):
    """So that "Accept: text/event-stream" is acceptable; what it renders itself is problems, as JSON."""

    media_type = "text/event-stream"
    format = "event-stream"


class _Asked(serializers.Serializer[Any]):
    after = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID)
    brief = serializers.BooleanField(default=False)


class Stream(APIView):
    """A stream of one kind. Ends after an hour: connect again then, with the last id that you saw."""

    renderer_classes = [EventStreamRenderer, JSONRenderer]

    def answer(self, request: Request, job: UUID | None) -> StreamingHttpResponse:
        asked = _Asked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        after = self._last_event(request)
        if after is None:
            after = asked.validated_data.get("after")
        messages = stream(get_links(), job, after=after, brief=asked.validated_data["brief"])
        response = StreamingHttpResponse(messages, content_type=EventStreamRenderer.media_type)
        response["Cache-Control"] = "no-cache, no-transform"
        response["X-Accel-Buffering"] = "no"  # nginx would wait for a full buffer
        return response

    @staticmethod
    def _last_event(request: Request) -> int | None:
        text = request.headers.get("Last-Event-ID", "").strip()
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and int(text) <= MAX_ID):
            raise ValidationError({"Last-Event-ID": ["is the id of an event of ours: a whole number"]})
        return int(text)


class JobStream(Stream):
    permission_classes = [needs("transfers.view_job")]
    problems = {"get": (400,)}

    @extend_schema(responses=ANSWER, parameters=[AFTER, LAST_EVENT_ID, BRIEF])
    def get(self, request: Request, pk: UUID, **kwargs: Any) -> StreamingHttpResponse:
        """A job as it goes: "start" with everything, "update" with what changed, "happened" for each event, "end"."""
        get_object_or_404(Job.objects.only("pk"), pk=pk, cell=settings.FDIST_CELL)
        return self.answer(request, pk)


class FleetStream(Stream):
    permission_classes = [needs("transfers.view_job"), needs("nodes.view_node")]
    problems = {"get": (400,)}

    @extend_schema(responses=ANSWER, parameters=[AFTER, LAST_EVENT_ID, BRIEF])
    def get(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        """Nodes, open jobs and totals as they go: "start", "update", and "happened" for each event of any job."""
        return self.answer(request, None)
