"""The whole fleet at one moment: its nodes, and the jobs that are open."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import redis
from django.db.models import Count, Q, Sum

from nodes.models import Node, NodeState
from transfers.links import Links
from transfers.live.picture import elapsed, shown_state
from transfers.live.readings import Readings
from transfers.models import OPEN_STATES, Job, JobNode, JobNodeState, JobState
from transfers.scheduler.types import GCS, UP, JobView


@dataclass(frozen=True)
class FleetNode:
    """Rates are bytes a second, disks bytes."""

    name: str
    state: str
    rate_up: float = 0.0
    rate_down: float = 0.0
    rate_bucket: float = 0.0
    disk_free: int = 0
    disk_total: int = 0


@dataclass(frozen=True)
class FleetJob:
    """An open job, or one that has just ended. held: shards, over all its nodes."""

    id: uuid.UUID
    name: str
    state: str
    error: str
    topology: str
    priority: int
    size: int
    shard_count: int
    elapsed: float
    nodes: int = 0
    done: int = 0
    failed: int = 0
    held: int = 0
    bytes_gcs: int = 0
    bytes_peer: int = 0

    @property
    def moves(self) -> bool:
        return self.state == JobState.RUNNING

    @property
    def part(self) -> float:
        wanted = self.nodes * self.shard_count
        return self.held / wanted if wanted else 0.0


@dataclass(frozen=True)
class FleetPicture:
    """at: monotonic seconds. source_seen: False while the scheduler cannot be reached and the record is shown."""

    cell: str
    at: float
    nodes: Mapping[str, FleetNode] = field(default_factory=dict)
    jobs: Mapping[uuid.UUID, FleetJob] = field(default_factory=dict)
    transfers: int = 0
    bucket_transfers: int = 0
    source_seen: bool = True

    @property
    def up(self) -> list[FleetNode]:
        return [node for node in self.nodes.values() if node.state in UP]


def read_fleet(links: Links, readings: Readings, old: FleetPicture | None = None) -> FleetPicture:
    """The fleet now, with the open jobs and, once more, those that have ended since `old`.

    Cost: three statements of the database, two reads of the scheduler, one more for each open job.
    """
    before = [job.id for job in old.jobs.values() if job.state in OPEN_STATES] if old else []
    wanted = Job.objects.filter(Q(state__in=OPEN_STATES) | Q(id__in=before), cell=links.cell)
    jobs = list(wanted.order_by("created_at", "id"))
    try:
        views = {job.id: links.scheduler.job(job.id.hex) for job in jobs}
        leases = [lease for found in readings.leases.values() for lease in found]
        return FleetPicture(
            cell=links.cell,
            at=time.monotonic(),
            nodes=_nodes_seen(links.cell, readings),
            jobs=_jobs(jobs, views),
            transfers=len(leases),
            bucket_transfers=sum(lease.source == GCS for lease in leases),
        )
    except redis.RedisError:
        nodes, shown = _nodes_recorded(links.cell), _jobs(jobs, {})
        return FleetPicture(links.cell, time.monotonic(), nodes, shown, source_seen=False)


def _nodes_seen(cell: str, readings: Readings) -> dict[str, FleetNode]:
    """All that the scheduler remembers, but for those that a person took out of the record."""
    removed = set(Node.objects.filter(cell=cell, state=NodeState.REMOVED).values_list("name", flat=True))
    return {
        view.name: FleetNode(
            name=view.name,
            state=view.state,
            rate_up=view.rate_up,
            rate_down=view.rate_down,
            rate_bucket=view.rate_gcs,
            disk_free=view.disk_free,
            disk_total=view.disk_total,
        )
        for view in readings.nodes.values()
        if view.state in UP or view.name not in removed
    }


def _nodes_recorded(cell: str) -> dict[str, FleetNode]:
    rows = Node.objects.filter(cell=cell).exclude(state=NodeState.REMOVED).order_by("name")
    return {
        row.name: FleetNode(row.name, row.state, disk_free=row.disk_free, disk_total=row.disk_total) for row in rows
    }


def _jobs(jobs: Sequence[Job], views: Mapping[uuid.UUID, JobView | None]) -> dict[uuid.UUID, FleetJob]:
    recorded = _recorded([job for job in jobs if views.get(job.id) is None])
    return {job.id: _job(job, views.get(job.id), recorded.get(job.id, {})) for job in jobs}


def _job(job: Job, view: JobView | None, recorded: Mapping[str, int]) -> FleetJob:
    figures = (
        {"nodes": view.nodes, "done": view.nodes_done, "failed": view.nodes_failed, "held": view.shards_held}
        if view is not None
        else recorded
    )
    return FleetJob(
        id=job.id,
        name=str(job),
        state=shown_state(job, view),
        error=job.error or (view.reason if view is not None else ""),
        topology=job.topology,
        priority=job.priority,
        size=job.size,
        shard_count=job.shard_count,
        elapsed=elapsed(job),
        bytes_gcs=max(job.bytes_from_gcs, view.bytes_gcs if view is not None else 0),
        bytes_peer=max(job.bytes_from_peers, view.bytes_peer if view is not None else 0),
        **figures,
    )


def _recorded(jobs: Sequence[Job]) -> dict[uuid.UUID, dict[str, int]]:
    """Figures of the nodes of jobs that the scheduler does not have."""
    if not jobs:
        return {}
    rows = (
        JobNode.objects.filter(job__in=jobs)
        .order_by()
        .values("job")
        .annotate(
            nodes=Count("pk"),
            done=Count("pk", filter=Q(state=JobNodeState.DONE)),
            failed=Count("pk", filter=Q(state=JobNodeState.FAILED)),
            held=Sum("shards_held"),
        )
    )
    return {row["job"]: {name: row[name] for name in ("nodes", "done", "failed", "held")} for row in rows}
