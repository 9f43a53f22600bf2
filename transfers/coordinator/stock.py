"""Brings the record in step with what nodes say they keep: space, files that made room, pins.

The word of a node counts: a row that calls it done is corrected when its files are gone, and pins are ordered again
until the node says that they are as the record wants them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from nodes.inventory import Inventory, is_job
from nodes.models import Node
from transfers.links import Links
from transfers.models import FINAL_STATES, Job, JobEvent, JobEventKind, JobNode, JobNodeState, StreamCursor

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 300.0  # a node's rows are compared when its jobs change, and this often in any case
ORDER_AGAIN_SECONDS = 10.0
BATCH = 500
FIGURES = ("quota", "used", "evictable")


class Stock:
    """Kept by the planner. clock: monotonic seconds."""

    def __init__(self, links: Links, clock: Callable[[], float]) -> None:
        self._links = links
        self._clock = clock
        self._looked: dict[str, tuple[float, frozenset[str]]] = {}  # node -> when, and which jobs it had
        self._ordered: dict[tuple[str, str], float] = {}

    def take(self, inventories: Mapping[str, Inventory], reachable: Collection[str]) -> None:
        """reachable: the nodes that can be given orders now."""
        self._note_figures(inventories)
        self._note_gone({node: inventories[node] for node in self._due(inventories)})
        self._keep_pins({node: found for node, found in inventories.items() if node in reachable})

    def _due(self, inventories: Mapping[str, Inventory]) -> list[str]:
        now, due = self._clock(), []
        for node, found in inventories.items():
            jobs = frozenset(found.jobs)
            at, had = self._looked.get(node, (float("-inf"), frozenset()))
            if jobs != had or now - at > LOOK_AGAIN_SECONDS:
                due.append(node)
                self._looked[node] = (now, jobs)
        return due

    def _note_figures(self, inventories: Mapping[str, Inventory]) -> None:
        changed = []
        for row in Node.objects.filter(cell=self._links.cell, name__in=list(inventories)).only("id", "name", *FIGURES):
            figures = [getattr(inventories[row.name], name) for name in FIGURES]
            if figures != [getattr(row, name) for name in FIGURES]:
                row.quota, row.used, row.evictable = figures
                changed.append(row)
        Node.objects.bulk_update(changed, list(FIGURES), batch_size=BATCH)

    def _note_gone(self, inventories: Mapping[str, Inventory]) -> None:
        """Rows of jobs that have ended whose files the node no longer has."""
        rows = JobNode.objects.filter(
            state=JobNodeState.DONE,
            node__cell=self._links.cell,
            node__name__in=list(inventories),
            job__state__in=FINAL_STATES,
            job__purged_at=None,
        ).select_related("node")
        gone = [row for row in rows.iterator() if _is_gone(row, inventories[row.node.name])]
        if not gone:
            return
        events = []
        for row in gone:
            evicted = row.job_id.hex in inventories[row.node.name].evicted
            row.state, row.shards_held = JobNodeState.EVICTED, 0
            row.error = "evicted: another job needed the room" if evicted else "its files are no longer on the node"
            events.append(
                JobEvent(job_id=row.job_id, at=timezone.now(), kind=JobEventKind.EVICTED, node=row.node, why=row.error)
            )
            logger.info("evicted job=%s node=%s reason=%s", row.job_id.hex, row.node.name, row.error)
        with transaction.atomic():
            # The recorder's lock: whoever follows a job's events by their ids must see them in that order.
            StreamCursor.objects.select_for_update().filter(cell=self._links.cell).first()
            JobNode.objects.bulk_update(gone, ["state", "shards_held", "error"], batch_size=BATCH)
            JobEvent.objects.bulk_create(events, batch_size=BATCH)

    def _keep_pins(self, inventories: Mapping[str, Inventory]) -> None:
        pinned = {pk.hex for pk in Job.objects.filter(cell=self._links.cell, pinned=True).values_list("pk", flat=True)}
        wrong = {
            (node, job)
            for node, found in inventories.items()
            for job, kept in found.jobs.items()
            if kept.pinned != (job in pinned) and is_job(job)
        }
        now = self._clock()
        self._ordered = {key: at for key, at in self._ordered.items() if key in wrong}
        for node, job in sorted(wrong):
            if now - self._ordered.get((node, job), float("-inf")) >= ORDER_AGAIN_SECONDS:
                self._links.scheduler.order(node, {"op": "pin" if job in pinned else "unpin", "job": job})
                self._ordered[node, job] = now


def _is_gone(row: JobNode, inventory: Inventory) -> bool:
    """Whether the inventory was taken after the node was done, and does not have the job."""
    if row.job_id.hex in inventory.jobs or row.finished_at is None:
        return False
    return datetime.fromtimestamp(inventory.at / 1000, UTC) > row.finished_at
