"""What people do to nodes: drain, enable, cap, remove. The one way in for the API and the admin."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import redis

from nodes.models import Node, NodeState
from transfers.errors import InvalidTransition
from transfers.words import bits_text

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


CAPS = {"upload_cap": "upload_rate", "download_cap": "download_rate", "bucket_cap": "gcs_rate"}  # as agents call them


def set_caps(node: Node, caps: Mapping[str, int | None], scheduler: Scheduler) -> None:
    """Changes some of a node's caps, in bit/s, from its next heartbeat on: 0 is no cap, None the node's own setting.

    Raises the Redis error when the node cannot be told; nothing has changed then.
    """
    old = {name: getattr(node, name) for name in caps}
    # The record first: the coordinator tells the caps again to a node that starts anew.
    Node.objects.filter(pk=node.pk).update(**caps, caps_epoch=node.epoch)
    try:
        scheduler.order(node.name, {"op": "caps", **{CAPS[name]: value for name, value in caps.items()}})
    except redis.RedisError:
        Node.objects.filter(pk=node.pk).update(**old)
        raise
    node.refresh_from_db()
    logger.info("caps node=%s %s", node.name, " ".join(f"{name}={value}" for name, value in caps.items()))


def caps_text(caps: Mapping[str, int | None]) -> str:
    """What was done, for the history: "Capped upload at 400 Mbit/s, bucket at none"."""
    parts = [f"{name.removesuffix('_cap')} at {cap_text(value)}" for name, value in caps.items()]
    return f"Capped {', '.join(parts)}"


def cap_text(cap: int | None) -> str:
    return "the node's own" if cap is None else "none" if cap == 0 else bits_text(cap)


def keep_caps(cell: str, epochs: Mapping[str, int], scheduler: Scheduler) -> int:
    """Tells nodes that have started anew what they were capped at; gives how many were told. epochs: of live nodes.

    A node keeps what it was told over restarts: this is for one whose disk is new.
    """
    capped = Node.objects.filter(cell=cell).exclude(upload_cap=None, download_cap=None, bucket_cap=None)
    told = 0
    for node in capped:
        if node.name in epochs and node.caps_epoch != epochs[node.name]:
            caps = {order: value for name, order in CAPS.items() if (value := getattr(node, name)) is not None}
            scheduler.order(node.name, {"op": "caps", **caps})
            Node.objects.filter(pk=node.pk).update(caps_epoch=epochs[node.name])
            told += 1
    return told


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
