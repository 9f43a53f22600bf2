"""What lists may be narrowed by."""

from __future__ import annotations

import django_filters

from transfers.models import Job, JobFile, JobNode, JobNodeState, JobState, Topology, Transfer, TransferOutcome


class JobFilter(django_filters.FilterSet):
    state = django_filters.MultipleChoiceFilter(choices=JobState.choices)
    topology = django_filters.ChoiceFilter(choices=Topology.choices)
    source = django_filters.CharFilter(lookup_expr="startswith")
    name = django_filters.CharFilter(lookup_expr="icontains")
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = Job
        fields: list[str] = []


class JobNodeFilter(django_filters.FilterSet):
    state = django_filters.MultipleChoiceFilter(choices=JobNodeState.choices)
    node = django_filters.CharFilter(field_name="node__name")

    class Meta:
        model = JobNode
        fields: list[str] = []


class JobFileFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(lookup_expr="icontains")

    class Meta:
        model = JobFile
        fields: list[str] = []


class TransferFilter(django_filters.FilterSet):
    outcome = django_filters.MultipleChoiceFilter(choices=TransferOutcome.choices)
    node = django_filters.CharFilter(field_name="node__name")
    shard = django_filters.NumberFilter(min_value=0, max_value=2**31 - 1)

    class Meta:
        model = Transfer
        fields: list[str] = []
