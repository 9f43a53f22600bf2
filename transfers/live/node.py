"""A node at one moment, as its page gets it:

{"state", "slow", "barred", "seen": ms since its last heartbeat, "rates": [bucket, peers in, out],
 "disk": [free, total], "slots": [downloads, of, uploads, of, reads, of],
 "jobs": [[id, name, shards held, shards], ...]       open ones, of which it still needs something
 "in", "out": [[id, name, shard, other end ("" is the bucket), bytes, of, ms], ...], "at": seconds since 1970}

Of a node that the scheduler does not know, or while it cannot be asked: "state" and "at", and "stale" then.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

import redis

from nodes.models import Node
from transfers.links import Links
from transfers.live.readings import Readings
from transfers.models import Job
from transfers.scheduler.types import UP, LeaseView, NodeView

SHOWN_TRANSFERS = 40


def read_node(links: Links, name: str, readings: Readings) -> dict[str, Any] | None:
    """The node now; None when nobody knows it. Cost: a read of the cell, shared, and one for each job it is in."""
    stale = False
    try:
        view = readings.nodes.get(name)
        if view is not None:
            return _message(links, view, readings)
    except redis.RedisError:
        stale = True
    state = Node.objects.filter(cell=links.cell, name=name).values_list("state", flat=True).first()
    return None if state is None else {"state": state, "stale": stale, "at": round(time.time(), 1)}


def _message(links: Links, view: NodeView, readings: Readings) -> dict[str, Any]:
    leases = [lease for found in readings.leases.values() for lease in found]
    incoming = [lease for lease in leases if lease.node == view.name]
    outgoing = [lease for lease in leases if lease.source == view.name]
    jobs = _jobs([*view.jobs, *(lease.job for lease in (*incoming, *outgoing))])
    newest = max(each.seen for each in readings.nodes.values())
    return {
        "state": view.state,
        "slow": view.slow,
        "barred": view.barred,
        "seen": max(0, newest - view.seen),
        "at": round(time.time(), 1),
        "rates": [round(rate) if view.state in UP else 0 for rate in (view.rate_gcs, view.rate_down, view.rate_up)],
        "disk": [view.disk_free, view.disk_total],
        "slots": [
            *(view.downloads, view.download_slots),
            *(view.uploads, view.upload_slots),
            *(view.gcs_reads, view.gcs_slots),
        ],
        "jobs": [_holding(links, jobs[job], view.name) for job in view.jobs if job in jobs],
        "in": [_transfer(jobs.get(lease.job), lease, lease.source) for lease in incoming[:SHOWN_TRANSFERS]],
        "out": [_transfer(jobs.get(lease.job), lease, lease.node) for lease in outgoing[:SHOWN_TRANSFERS]],
    }


def _jobs(ids: Iterable[str]) -> dict[str, Job]:
    found = Job.objects.filter(pk__in={uuid.UUID(hex=job) for job in ids})
    return {job.id.hex: job for job in found}


def _holding(links: Links, job: Job, node: str) -> list[Any]:
    held = int.from_bytes(links.scheduler.held(job.id.hex, node), "big").bit_count()
    return [job.id.hex, str(job), held, job.shard_count]


def _transfer(job: Job | None, lease: LeaseView, other: str) -> list[Any]:
    size = min(job.shard_size, job.size - lease.shard * job.shard_size) if job else 0
    ms = max(0, int(time.time() * 1000) - lease.started)
    name = str(job) if job else ""
    return [lease.job, name, lease.shard, other, lease.bytes, max(size, lease.bytes), ms]
