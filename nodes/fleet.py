"""What people do to nodes: drain, enable, remove. The one way in for the API and the admin."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import redis

from nodes.models import Node, NodeState
from transfers.errors import InvalidTransition

if TYPE_CHECKING:
    from transfers.scheduler import Scheduler

logger = logging.getLogger(__name__)
GONE = (NodeState.DEAD, NodeState.LEFT, NodeState.REMOVED)
UP = (NodeState.LIVE, NodeState.DRAINING)


def set_draining(node: Node, draining: bool, scheduler: Scheduler) -> None:
    """A draining node begins no download and still serves what it has; it stays so over restarts, until enabled.

    Raises the Redis error when the scheduler cannot be told; nothing has changed then.
    """
    # The record first: the coordinator drains again what the record calls draining.
    Node.objects.filter(pk=node.pk).update(draining=draining)
    try:
        scheduler.set_draining(node.name, draining)
    except redis.RedisError:
        Node.objects.filter(pk=node.pk).update(draining=node.draining)
        raise
    Node.objects.filter(pk=node.pk, state__in=UP).update(state=NodeState.DRAINING if draining else NodeState.LIVE)
    node.refresh_from_db()
    logger.info("%s node=%s", "draining" if draining else "enabled", node.name)


def remove(node: Node) -> None:
    """Takes a node that is gone out of lists; its history stays, and it is back when it registers again.

    Raises InvalidTransition for one that lives.
    """
    if node.state not in GONE:
        raise InvalidTransition(f"node {node.name} is {node.state}: stop its agent first")
    if not Node.objects.filter(pk=node.pk, state__in=GONE).update(state=NodeState.REMOVED):
        raise InvalidTransition(f"node {node.name} came back meanwhile")
    node.state = NodeState.REMOVED
    logger.info("removed node=%s", node.name)
