"""What a node holds: of which jobs by the record, and how much and whether pinned by its own last word."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

import redis
from django.db.models import Q

from nodes import inventory
from nodes.inventory import Inventory
from nodes.models import Node
from transfers.links import get_links
from transfers.models import Job, JobNode

logger = logging.getLogger(__name__)
SHOWN = 15
SHOWN_GOING = 3


@dataclass(frozen=True)
class Going:
    """A job that makes room when another needs it. size: bytes of it on the node. wanted_at: None if nobody knows."""

    job: Job
    size: int
    wanted_at: datetime | None


@dataclass(frozen=True)
class Holdings:
    """rows: the newest, each with `held_bytes` and `pin`, a word or ""; more: how many there are besides.

    going: those that would be evicted first, in that order.
    """

    rows: list[JobNode]
    more: int
    going: list[Going]


def holdings(node: Node) -> Holdings:
    """Cost: two queries, one each when there are more rows and for what can make room, and a read of the inventory."""
    found = JobNode.objects.filter(Q(shards_held__gt=0) | ~Q(error=""), node=node, job__purged_at=None)
    rows = list(found.select_related("job").order_by("-id")[: SHOWN + 1])
    more = found.count() - SHOWN if len(rows) > SHOWN else 0
    told = last_word(node)
    for row in rows[:SHOWN]:
        kept = told.jobs.get(row.job_id.hex) if told else None
        row.held_bytes = kept.size if kept else min(row.job.size, row.shards_held * row.job.shard_size)  # type: ignore[attr-defined]
        row.pin = pin_word(row.job.pinned, kept.pinned if kept else None)  # type: ignore[attr-defined]
    return Holdings(rows[:SHOWN], more, going(told) if told else [])


def going(told: Inventory) -> list[Going]:
    """What would be evicted first, of what the record knows."""
    order = told.next_to_go()[:SHOWN_GOING]
    jobs = Job.objects.only("id", "name", "source").in_bulk(order) if order else {}
    kept = {job: told.jobs[job.hex] for job in order}
    return [Going(jobs[job], kept[job].size, kept[job].wanted) for job in order if job in jobs]


def last_word(node: Node) -> Inventory | None:
    """None when it has said nothing, or Redis cannot be asked."""
    links = get_links()
    try:
        return inventory.read(links.redis, links.cell, node.name)
    except redis.RedisError as error:
        logger.info("inventory not read node=%s error=%s", node.name, error)
        return None


def pin_word(wanted: bool, told: bool | None) -> str:
    """told: whether the node says that it keeps the job whatever needs room, None when it has not said."""
    if told is None or told == wanted:
        return "pinned" if wanted else ""
    return "being pinned" if wanted else "being unpinned"
