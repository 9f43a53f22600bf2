"""When nodes were last heard of. The record learns it every half a minute, the scheduler with each heartbeat."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

import redis

from nodes.models import Node
from transfers.scheduler import Scheduler

logger = logging.getLogger(__name__)


def as_heard(nodes: Iterable[Node], scheduler: Scheduler) -> list[Node]:
    """The nodes, with `last_seen` of those that are up as the scheduler has it; nothing is saved.

    Without the scheduler they keep what the record knows. Cost: two round trips for all of them.
    """
    found = list(nodes)
    try:
        beats = scheduler.last_beats([node.name for node in found])
    except redis.RedisError as error:
        logger.warning("heartbeats are as old as the record reason=%s", error)
        return found
    for node in found:
        if (beat := beats.get(node.name)) is not None:
            at = datetime.fromtimestamp(beat / 1000, UTC)
            node.last_seen = max(at, node.last_seen or at)
    return found
