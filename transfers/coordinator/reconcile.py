"""Corrects the record of an open job by what the scheduler shows, where events were lost with Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.utils import timezone

from transfers.errors import InvalidTransition
from transfers.models import FINAL_STATES, Job, JobNode, JobNodeState
from transfers.scheduler.types import JobNodeView, JobView

logger = logging.getLogger(__name__)

ENDS = {"done": JobNodeState.DONE, "failed": JobNodeState.FAILED}
BATCH = 500


def reconcile(job: Job, view: JobView | None, found: Sequence[JobNodeView]) -> int:
    """Writes held shards and ends of nodes that differ, and the job's end; gives how many nodes were changed.

    Only ends are taken over and held counts: a node that the record calls done stays so while it proves its files
    again after a loss.
    """
    rows = {row.node.name: row for row in JobNode.objects.filter(job=job).select_related("node")}
    now = timezone.now()
    changed: list[JobNode] = []
    for node in found:
        row = rows.get(node.node)
        if row is None or row.state == JobNodeState.DONE:
            continue
        end = ENDS.get(node.state)
        if end is not None and row.state != end:
            row.state, row.finished_at, row.error = end, now, node.why if end == JobNodeState.FAILED else ""
        elif row.shards_held == node.held:
            continue
        elif node.held and row.state == JobNodeState.ENROLLED:
            row.state, row.started_at = JobNodeState.MOVING, row.started_at or now
        row.shards_held = node.held
        changed.append(row)
    JobNode.objects.bulk_update(
        changed, ["state", "shards_held", "started_at", "finished_at", "error"], batch_size=BATCH
    )
    if view is not None and view.state in FINAL_STATES:
        try:
            job.move_to(view.state, error=view.reason)
        except InvalidTransition as error:
            logger.info("end not recorded job=%s reason=%s", job.id.hex, error)
    return len(changed)
