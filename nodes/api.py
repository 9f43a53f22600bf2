"""Nodes over REST: they register by themselves; people drain, enable, cap and remove them."""

from __future__ import annotations

from typing import Any

import django_filters
from django.conf import settings
from django.db.models import QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from nodes import fleet
from nodes.heard import as_heard
from nodes.labels import parse_labels
from nodes.models import MAX_CAP, Node, NodeState
from transfers.api.filters import AnyOf
from transfers.api.permissions import ModelPermissions, needs
from transfers.audit import note
from transfers.links import get_links


class NodeSerializer(serializers.ModelSerializer[Node]):
    class Meta:
        model = Node
        fields = [
            "name",
            "state",
            "draining",
            "address",
            "labels",
            "disk_total",
            "disk_free",
            "quota",
            "used",
            "evictable",
            "upload_slots",
            "download_slots",
            "gcs_slots",
            "upload_cap",
            "download_cap",
            "bucket_cap",
            "version",
            "first_seen",
            "last_seen",
        ]
        read_only_fields = fields


class CapsSerializer(serializers.Serializer[Any]):
    """Those that are left out stay as they are."""

    upload_cap: Any = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_CAP)
    download_cap: Any = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_CAP)
    bucket_cap: Any = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_CAP)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError(f"give one of {', '.join(self.fields)} at least")
        return attrs


class NodeFilter(django_filters.FilterSet):
    state = AnyOf(choices=NodeState.choices)
    name = django_filters.CharFilter(lookup_expr="icontains")
    labels = django_filters.CharFilter(method="with_labels", help_text="key=value,key=value")

    class Meta:
        model = Node
        fields: list[str] = []

    def with_labels(self, rows: QuerySet[Node], name: str, value: str) -> QuerySet[Node]:
        try:
            wanted = parse_labels(value)
        except ValueError as error:
            raise serializers.ValidationError({name: [str(error)]}) from None
        for number, (key, label) in enumerate(wanted.items()):
            # Not labels__key: a key such as "contains" would be read as a lookup.
            rows = rows.alias(**{f"label_{number}": Cast(KeyTextTransform(key, "labels"), TextField())}).filter(
                **{f"label_{number}": label}
            )
        return rows


class NodeViewSet(viewsets.ReadOnlyModelViewSet[Node]):
    """The fleet as the coordinator last saw it; nodes that were removed are listed with `state=removed` alone.

    `last_seen` is the last heartbeat of a node that is up. Lists are put in order by what the record knows of it, which
    is up to half a minute older.
    """

    queryset = Node.objects.all()
    serializer_class = NodeSerializer
    permission_classes = [ModelPermissions]
    filterset_class = NodeFilter
    lookup_field = "name"
    lookup_value_regex = "[a-z0-9.-]+"
    ordering_fields = ["name", "state", "disk_free", "last_seen"]
    ordering = ["name"]

    problems = {"drain": (409,), "enable": (409,), "destroy": (409,)}

    def get_queryset(self) -> QuerySet[Node]:
        rows = Node.objects.filter(cell=settings.FDIST_CELL)
        if self.action == "list" and NodeState.REMOVED not in self.request.query_params.getlist("state"):
            rows = rows.exclude(state=NodeState.REMOVED)
        return rows

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset)
        return None if rows is None else as_heard(rows, get_links().scheduler)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        [node] = as_heard([self.get_object()], get_links().scheduler)
        return Response(self.get_serializer(node).data)

    @extend_schema(request=None, responses={200: NodeSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("nodes.drain_node")])
    def drain(self, request: Request, **kwargs: Any) -> Response:
        """The node begins no download from now on, and still serves what it has. It stays so until enabled."""
        return self._set_draining(request, True)

    @extend_schema(request=None, responses={200: NodeSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("nodes.drain_node")])
    def enable(self, request: Request, **kwargs: Any) -> Response:
        """The node takes part again."""
        return self._set_draining(request, False)

    @extend_schema(request=CapsSerializer, responses={200: NodeSerializer})
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Changes bandwidth caps, in bit/s, within a heartbeat: 0 is no cap, null gives back the node's own setting."""
        asked = CapsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        node = self.get_object()
        fleet.set_caps(node, asked.validated_data, get_links().scheduler)
        note(request.user, node, fleet.caps_text(asked.validated_data), where="by the API")
        return Response(NodeSerializer(node).data)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Takes a node that is gone out of the lists. Its history stays; it is back when it registers again."""
        node = self.get_object()
        fleet.remove(node)
        note(request.user, node, "Removed", where="by the API")
        return Response(status=status.HTTP_204_NO_CONTENT)

    def get_permissions(self) -> Any:
        special = {"destroy": "nodes.remove_node", "partial_update": "nodes.cap_node"}
        return [needs(special[self.action])()] if self.action in special else super().get_permissions()

    def _set_draining(self, request: Request, draining: bool) -> Response:
        node = self.get_object()
        fleet.set_draining(node, draining, get_links().scheduler)
        note(request.user, node, "Drained" if draining else "Enabled", where="by the API")
        return Response(NodeSerializer(node).data)
