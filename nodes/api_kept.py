"""What a node keeps, over REST: by its own last word, with what it would evict first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from nodes import inventory
from nodes.inventory import Inventory, is_job
from nodes.models import Node
from transfers.api.pagination import Pages
from transfers.api.permissions import needs
from transfers.links import get_links
from transfers.models import Job


class KeptSerializer(serializers.Serializer[Any]):
    job = serializers.UUIDField()
    name = serializers.CharField(help_text="empty for a job that the record does not know")
    size = serializers.IntegerField(help_text="bytes of it on the node")
    pinned = serializers.BooleanField(help_text="whether the node keeps it, whatever needs room")
    whole = serializers.BooleanField(help_text="whether all of its files are in their places")
    wanted_at: Any = serializers.DateTimeField(allow_null=True, help_text="when it was last wanted there")
    eviction: Any = serializers.IntegerField(
        allow_null=True, help_text="1 is evicted first when another job needs the room; null is not evicted"
    )


class NodeKept(APIView):
    permission_classes = [needs("nodes.view_node")]
    pagination_class = Pages

    @extend_schema(responses={200: KeptSerializer(many=True)}, operation_id="nodes_kept_list")
    def get(self, request: Request, name: str, **kwargs: Any) -> Response:
        """The jobs on the node's disk: first those that can make room, in the order in which they would go."""
        node = get_object_or_404(Node, cell=settings.FDIST_CELL, name=name)
        links = get_links()
        rows = kept_rows(inventory.read(links.redis, links.cell, node.name))
        pages: Pages = self.pagination_class()
        page: Any = pages.paginate_queryset(rows, request, view=self)
        jobs = Job.objects.only("id", "name", "source").in_bulk([row["job"] for row in page])
        for row in page:
            row["name"] = str(jobs.get(row["job"], ""))
        return pages.get_paginated_response(KeptSerializer(page, many=True).data)


def kept_rows(told: Inventory | None) -> list[dict[str, Any]]:
    """As KeptSerializer has them, without names; none of a node that has said nothing."""
    if told is None:
        return []
    order = {job: place for place, job in enumerate(told.eviction_order(), 1)}
    stay = sorted((job for job in told.jobs if job not in order), key=lambda job: told.jobs[job].wanted_at)
    return [
        {
            "job": UUID(hex=job),
            "size": kept.size,
            "pinned": kept.pinned,
            "whole": kept.whole,
            "wanted_at": kept.wanted,
            "eviction": order.get(job),
        }
        for job, kept in ((job, told.jobs[job]) for job in (*order, *stay))
        if is_job(job)
    ]
