"""What lists may be narrowed by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet
from django_filters.fields import IsoDateTimeField

from nodes.models import Node
from transfers.models import (
    Job,
    JobEvent,
    JobEventKind,
    JobFile,
    JobNode,
    JobNodeState,
    JobState,
    Shard,
    Standing,
    StandingEvent,
    StandingEventKind,
    StandingNode,
    Topology,
    Transfer,
    TransferOutcome,
    WebhookDelivery,
    WebhookKind,
    WebhookState,
)


class MomentField(IsoDateTimeField):
    """A moment in UTC: a database takes no offset of more than some hours, and ISO 8601 allows nearly a day."""

    def to_python(self, value: Any) -> datetime | None:
        moment: datetime | None = super().to_python(value)
        try:
            return moment and moment.astimezone(UTC)
        except (OverflowError, ValueError) as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error


class MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = MomentField


class AnyOf(django_filters.MultipleChoiceFilter):
    """Values of a column of the row itself: no row is found twice, and nothing has to be sorted to see to that."""

    def __init__(self, **options: Any) -> None:
        super().__init__(distinct=False, **options)


class JobFilter(django_filters.FilterSet):
    state = AnyOf(choices=JobState.choices)
    topology = django_filters.ChoiceFilter(choices=Topology.choices)
    source = django_filters.CharFilter(lookup_expr="startswith")
    name = django_filters.CharFilter(lookup_expr="icontains")
    ready = django_filters.BooleanFilter(
        field_name="ready_at", lookup_expr="isnull", exclude=True, help_text="whether its quorum of nodes is done"
    )
    stalled = django_filters.BooleanFilter(field_name="stalled_at", lookup_expr="isnull", exclude=True)
    created_by = django_filters.CharFilter(field_name="created_by__username")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lt")
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = Job
        fields: list[str] = []


class JobNodeFilter(django_filters.FilterSet):
    state = AnyOf(choices=JobNodeState.choices)
    node = django_filters.CharFilter(field_name="node__name")

    class Meta:
        model = JobNode
        fields: list[str] = []


class JobFileFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(lookup_expr="icontains")

    class Meta:
        model = JobFile
        fields: list[str] = []


class JobEventFilter(django_filters.FilterSet):
    after = django_filters.NumberFilter(
        field_name="id", lookup_expr="gt", min_value=0, max_value=2**63 - 1, help_text="the last id that was seen"
    )
    kind = AnyOf(choices=JobEventKind.choices)

    class Meta:
        model = JobEvent
        fields: list[str] = []


class ShardFilter(django_filters.FilterSet):
    known = django_filters.BooleanFilter(
        field_name="crc32c", lookup_expr="isnull", exclude=True, help_text="whether a node has read it"
    )

    class Meta:
        model = Shard
        fields: list[str] = []


class TransferFilter(django_filters.FilterSet):
    outcome = AnyOf(choices=TransferOutcome.choices)
    node = django_filters.CharFilter(method="to_node", help_text="who received")
    source = django_filters.CharFilter(method="from_source", help_text='a node\'s name, or "bucket"')
    ended_after = MomentFilter(field_name="ended_at", lookup_expr="gte")
    ended_before = MomentFilter(field_name="ended_at", lookup_expr="lt")
    shard = django_filters.NumberFilter(min_value=0, max_value=2**31 - 1)

    class Meta:
        model = Transfer
        fields: list[str] = []

    def from_source(self, rows: QuerySet[Transfer], name: str, value: str) -> QuerySet[Transfer]:
        return rows.filter(source=None) if value == "bucket" else rows.filter(source__in=_named(value))

    def to_node(self, rows: QuerySet[Transfer], name: str, value: str) -> QuerySet[Transfer]:
        return rows.filter(node__in=_named(value))


def _named(name: str) -> list[int]:
    """Keys of the nodes of that name, looked up first: the database then takes the range of an index, and no join."""
    return list(Node.objects.filter(name=name).values_list("pk", flat=True))


class WebhookDeliveryFilter(django_filters.FilterSet):
    state = AnyOf(choices=WebhookState.choices)
    kind = AnyOf(choices=WebhookKind.choices)
    job = django_filters.UUIDFilter(field_name="job_id")

    class Meta:
        model = WebhookDelivery
        fields: list[str] = []


class HistoryFilter(TransferFilter):
    """Transfers of every job."""

    job = django_filters.UUIDFilter(field_name="job_id")


class StandingFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(lookup_expr="icontains")
    source = django_filters.CharFilter(lookup_expr="startswith")
    paused = django_filters.BooleanFilter()
    behind = django_filters.BooleanFilter(method="that_are_behind", help_text="whether a node that is up is behind")
    rolled_back = django_filters.BooleanFilter(method="that_went_back", help_text="whether versions are passed over")
    trouble = django_filters.BooleanFilter(method="in_trouble", help_text="whether its source cannot be a version")

    class Meta:
        model = Standing
        fields: list[str] = []

    def that_are_behind(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        return rows.filter(nodes_behind__gt=0) if value else rows.filter(nodes_behind=0)

    def that_went_back(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        back = Q(passed_over__gt=F("wanted__number"))
        return rows.filter(back) if value else rows.exclude(back)

    def in_trouble(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        return rows.exclude(trouble="") if value else rows.filter(trouble="")


class StandingNodeFilter(django_filters.FilterSet):
    node = django_filters.CharFilter(field_name="node__name")
    version = django_filters.NumberFilter(field_name="uses__number", min_value=1, max_value=2**31 - 1)
    behind = django_filters.BooleanFilter()
    leaving = django_filters.BooleanFilter()

    class Meta:
        model = StandingNode
        fields: list[str] = []


class StandingEventFilter(django_filters.FilterSet):
    after = django_filters.NumberFilter(
        field_name="id", lookup_expr="gt", min_value=0, max_value=2**63 - 1, help_text="the last id that was seen"
    )
    kind = AnyOf(choices=StandingEventKind.choices)

    class Meta:
        model = StandingEvent
        fields: list[str] = []
