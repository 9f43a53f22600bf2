"""The cell at a glance."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db.models import Count
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from nodes.models import Node
from transfers import recorder
from transfers.api.permissions import needs
from transfers.coordinator.leader import is_led
from transfers.coordinator.parts import PARTS
from transfers.links import Links, get_links
from transfers.models import Job


class CellSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    nodes: Any = serializers.DictField(child=serializers.IntegerField(), help_text="how many are in each state")
    jobs: Any = serializers.DictField(child=serializers.IntegerField(), help_text="how many are in each state")
    transfers = serializers.IntegerField(help_text="under way now")
    rate_from_bucket = serializers.FloatField(help_text="bytes a second, over all nodes")
    rate_from_peers = serializers.FloatField(help_text="bytes a second, over all nodes")
    bucket_reads = serializers.IntegerField(help_text="under way now")
    disk_total = serializers.IntegerField(help_text="bytes, of the nodes that are up")
    disk_free = serializers.IntegerField(help_text="bytes, of the nodes that are up")
    recorder_seconds_behind = serializers.FloatField(help_text="how old the oldest event is that is not in the record")
    coordinator: Any = serializers.DictField(
        child=serializers.BooleanField(), help_text="whether each part of the coordinator runs somewhere"
    )
    test_fleet = serializers.BooleanField(help_text="whether faults may be made on purpose here")


class Cell(APIView):
    permission_classes = [needs("nodes.view_node")]

    @extend_schema(responses={200: CellSerializer})
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Nodes, jobs, rates, and whether the coordinator does its work."""
        links = get_links()
        return Response(
            {
                "name": settings.FDIST_CELL,
                "nodes": _by_state(Node.objects.filter(cell=settings.FDIST_CELL)),
                "jobs": _by_state(Job.objects.filter(cell=settings.FDIST_CELL)),
                "transfers": links.scheduler.overview()["transfers"],
                **asdict(links.scheduler.up_totals()),
                "recorder_seconds_behind": _behind(links),
                "coordinator": {part: is_led(links.redis, links.cell, part) for part in PARTS},
                "test_fleet": settings.TEST_FLEET,
            }
        )


def _by_state(rows: Any) -> dict[str, int]:
    return dict(rows.order_by().values_list("state").annotate(Count("pk")))


def _behind(links: Links) -> float:
    """An event's cursor begins with the time at which it was written, in ms of Redis's clock."""
    waiting = links.scheduler.events(recorder.position(links.cell), count=1)
    if not waiting:
        return 0.0
    seconds, micros = links.redis.time()
    return round(max(0.0, seconds + micros / 1e6 - int(waiting[0].cursor.partition("-")[0]) / 1000), 3)
