"""The record's copy of the fleet, brought up to what the scheduler says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from nodes.models import Node, NodeState
from transfers.dataplane.tls import split_pin
from transfers.scheduler.types import NodeView

FRESH_ENOUGH = timedelta(seconds=30)  # a node that only got older is written this often
DISK_STEP = 0.01  # a change of less than this part of the disk waits for the next write
WRITTEN = (
    "state",
    "address",
    "labels",
    "epoch",
    "disk_total",
    "disk_free",
    "upload_slots",
    "download_slots",
    "gcs_slots",
    "version",
    "last_seen",
)
COMPARED = tuple(name for name in WRITTEN if name not in ("disk_free", "last_seen"))
BATCH = 500


def mirror_nodes(cell: str, views: Iterable[NodeView]) -> int:
    """Writes the nodes that changed and gives how many those were.

    Cost: one read of the table; writes only for what changed, so 1,000 quiet nodes cost 33 rows a second.
    """
    known = {node.name: node for node in Node.objects.filter(cell=cell)}
    rows = [_row(cell, view) for view in views]
    changed = [
        node for node in rows if _differs(known.get(node.name), node) and not _stays_removed(known.get(node.name), node)
    ]
    Node.objects.bulk_create(
        changed,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["cell", "name"],
        update_fields=list(WRITTEN),
    )
    return len(changed)


def _row(cell: str, view: NodeView) -> Node:
    return Node(
        cell=cell,
        name=view.name,
        state=view.state,
        draining=view.state == "draining",
        address=split_pin(view.address)[0],
        labels=dict(view.labels),
        epoch=view.epoch,
        disk_total=max(0, view.disk_total),
        disk_free=max(0, view.disk_free),
        upload_slots=view.upload_slots,
        download_slots=view.download_slots,
        gcs_slots=view.gcs_slots,
        version=view.version[:64],
        last_seen=datetime.fromtimestamp(view.seen / 1000, UTC),
    )


def _stays_removed(old: Node | None, new: Node) -> bool:
    """The scheduler remembers nodes that a person took out of the record."""
    return old is not None and old.state == NodeState.REMOVED and new.state in (NodeState.DEAD, NodeState.LEFT)


def _differs(old: Node | None, new: Node) -> bool:
    if old is None or old.last_seen is None or new.last_seen is None:
        return True
    if any(getattr(old, name) != getattr(new, name) for name in COMPARED):
        return True
    moved = abs(old.disk_free - new.disk_free) > DISK_STEP * max(1, new.disk_total)
    return moved or new.last_seen - old.last_seen > FRESH_ENOUGH
