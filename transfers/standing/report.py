"""Standing distributions with the figures that people look at: the same for API, pages, admin and metrics."""

from __future__ import annotations

from typing import Any

from django.db.models import (
    Aggregate,
    BigIntegerField,
    BooleanField,
    Case,
    Count,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from nodes.labels import describe
from transfers.dataplane.current import LINK
from transfers.models import JobNode, JobNodeState, JobState, Standing, StandingNode, StandingVersion
from transfers.standing.fleet import UP

STATES = ("waiting", "moving", "failed", "switching", "current", "rolled_back", "paused")
STATE_HELP = (
    "waiting: for a first version; moving: a newer version is on its way; failed: the newest version, in all or on "
    "some nodes; switching: nodes are behind; current; rolled_back: newer versions are passed over; paused"
)


def with_figures(standings: QuerySet[Standing]) -> QuerySet[Standing]:
    """With the nodes that are to have it (total), of those the ones that use the current version, and that are up and
    do not (behind); and of the newest version its number and its job's state."""
    newest = StandingVersion.objects.filter(standing=OuterRef("pk")).order_by("-number")
    return (
        standings.annotate(newest_job=Subquery(newest.values("job")[:1]))
        .annotate(
            nodes_total=_nodes(),
            nodes_up=_nodes(node__state__in=UP),
            nodes_current=_nodes(node__state__in=UP, uses=F("standing__wanted")),
            newest_version=Coalesce(
                Subquery(
                    StandingVersion.objects.filter(standing=OuterRef("pk"))
                    .order_by()
                    .values("standing")
                    .annotate(n=Max("number"))
                    .values("n"),
                    output_field=BigIntegerField(),
                ),
                0,
            ),
            newest_state=Subquery(newest.values("job__state")[:1]),
            newest_failed=Exists(
                JobNode.objects.filter(job=OuterRef("newest_job"), state=JobNodeState.FAILED),
            ),
        )
        .annotate(
            nodes_behind=Case(
                When(wanted=None, then=Value(0)),
                default=F("nodes_up") - F("nodes_current"),
                output_field=BigIntegerField(),
            )
        )
    )


def _nodes(**only: Any) -> Coalesce:
    rows = StandingNode.objects.filter(standing=OuterRef("pk"), leaving=False, **only)
    counted = rows.order_by().values("standing").annotate(n=Count("pk"))
    return Coalesce(Subquery(counted.values("n"), output_field=BigIntegerField()), 0)


def state_of(standing: Any) -> str:
    """One of STATES. standing: with its figures, and its current version."""
    if standing.paused:
        return "paused"
    if standing.is_held and standing.newest_version <= standing.passed_over:
        return "rolled_back"
    current = standing.current_number or 0
    if standing.newest_version > max(current, standing.passed_over):
        ended_badly = standing.newest_state in (JobState.FAILED, JobState.CANCELLED)
        return (
            "failed"
            if ended_badly or (standing.newest_state == JobState.COMPLETE and standing.newest_failed)
            else "moving"
        )
    if standing.wanted_id is None:
        return "waiting"
    return "switching" if standing.nodes_behind else "current"


def measured(standing: Any) -> Any:
    """With its state, and what a row of a list shows. standing: with its figures, and its current version."""
    standing.state = state_of(standing)
    standing.shown_state = standing.state.replace("_", " ")
    standing.for_nodes = describe(standing.selector)
    standing.link = f"{standing.destination}/{LINK}" if standing.destination else LINK
    return standing


def in_cell(cell: str) -> QuerySet[Standing]:
    """Those of a cell, as `measured` needs them."""
    return with_figures(Standing.objects.filter(cell=cell).select_related("wanted__job", "created_by"))


def nodes_of(standing: Standing) -> QuerySet[Any]:
    """Its nodes, and whether each is behind: up, and not using the current version."""
    using = Q(uses=standing.wanted_id) if standing.wanted_id else ~Q(pk=None)
    return (
        StandingNode.objects.filter(standing=standing)
        .select_related("node", "uses")
        .annotate(
            behind=Case(
                When(~Q(node__state__in=UP) | Q(leaving=True) | using, then=False),
                default=True,
                output_field=BooleanField(),
            )
        )
    )


def versions_with_figures(standing: Standing) -> QuerySet[StandingVersion]:
    """The versions, the newest first, with how many nodes use each and how many have it whole."""
    done = JobNode.objects.filter(job=OuterRef("job"), state=JobNodeState.DONE).order_by().values("job")
    listed = JobNode.objects.filter(job=OuterRef("job")).exclude(state=JobNodeState.WITHDRAWN)
    failed = JobNode.objects.filter(job=OuterRef("job"), state=JobNodeState.FAILED).order_by().values("job")

    def figure(rows: QuerySet[Any], of: Aggregate | None = None) -> Coalesce:
        counted = rows.annotate(n=of or Count("pk")).values("n")
        return Coalesce(Subquery(counted, output_field=BigIntegerField()), 0)

    return (
        standing.versions.select_related("job")
        .annotate(
            nodes_using=Coalesce(Count("standing_nodes", filter=Q(standing_nodes__leaving=False)), 0),
            nodes_ready=figure(done),
            nodes_failed=figure(failed),
            nodes_total=figure(listed.order_by().values("job")),
            shards_held=figure(listed.order_by().values("job"), Sum("shards_held")),
            shards_wanted=F("job__shard_count") * F("nodes_total"),
        )
        .order_by("-number")
    )


def version_state(version: StandingVersion, standing: Standing) -> str:
    """current, kept, moving, failed or removed."""
    if version.pk == standing.wanted_id:
        return "current"
    if version.retired_at is not None:
        return "removed"
    if version.job.state in (JobState.FAILED, JobState.CANCELLED):
        return "failed"
    if version.current_at is not None:
        return "kept"
    return "moving"
