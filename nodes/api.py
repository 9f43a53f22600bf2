"""Nodes over REST: read only, for the fleet is what registers."""

from __future__ import annotations

import django_filters
from django.conf import settings
from django.db.models import QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from rest_framework import serializers, viewsets

from nodes.labels import parse_labels
from nodes.models import Node, NodeState
from transfers.api.permissions import ModelPermissions


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
            "upload_slots",
            "download_slots",
            "gcs_slots",
            "version",
            "first_seen",
            "last_seen",
        ]
        read_only_fields = fields


class NodeFilter(django_filters.FilterSet):
    state = django_filters.MultipleChoiceFilter(choices=NodeState.choices)
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
    """The fleet as the coordinator last saw it."""

    queryset = Node.objects.all()
    serializer_class = NodeSerializer
    permission_classes = [ModelPermissions]
    filterset_class = NodeFilter
    lookup_field = "name"
    lookup_value_regex = "[a-z0-9.-]+"
    ordering_fields = ["name", "state", "disk_free", "last_seen"]
    ordering = ["name"]

    def get_queryset(self) -> QuerySet[Node]:
        return Node.objects.filter(cell=settings.FDIST_CELL)
