"""What a node holds: of which jobs by the record, and how much and whether pinned by its own last word."""

from __future__ import annotations

import logging

import redis
from django.db.models import Q

from nodes import inventory
from nodes.inventory import Inventory
from nodes.models import Node
from transfers.links import get_links
from transfers.models import JobNode

logger = logging.getLogger(__name__)
SHOWN = 15


def holdings(node: Node) -> tuple[list[JobNode], int]:
    """(the newest, how many more there are), each with `held_bytes` and `pin`, a word or "".

    Cost: two queries, three when there are more, and a read of the node's inventory.
    """
    found = JobNode.objects.filter(Q(shards_held__gt=0) | ~Q(error=""), node=node, job__purged_at=None)
    rows = list(found.select_related("job").order_by("-id")[: SHOWN + 1])
    more = found.count() - SHOWN if len(rows) > SHOWN else 0
    told = last_word(node)
    for row in rows[:SHOWN]:
        kept = told.jobs.get(row.job_id.hex) if told else None
        row.held_bytes = kept.size if kept else min(row.job.size, row.shards_held * row.job.shard_size)  # type: ignore[attr-defined]
        row.pin = pin_word(row.job.pinned, kept.pinned if kept else None)  # type: ignore[attr-defined]
    return rows[:SHOWN], more


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
