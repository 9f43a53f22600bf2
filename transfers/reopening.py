"""Jobs that have ended and are taken up again: for the nodes that did not get the files, or to check those that did."""

from __future__ import annotations

import logging
from contextlib import suppress

from django.db.models import QuerySet

from transfers import recorder
from transfers.errors import InvalidTransition, NoSuchJob
from transfers.links import Links, get_links
from transfers.models import Job, JobNode, JobNodeState
from transfers.publishing import publish

logger = logging.getLogger(__name__)


def retry(job: Job, links: Links | None = None) -> None:
    """Goes on with a job that has ended, for every node that is not done; after a purge, for all of them.

    What nodes hold is proved and kept, so that only what is missing moves. Raises InvalidTransition for an open job
    and for one of which no node is left to do, and the Redis error when the scheduler cannot be told: nothing has
    changed then.
    """
    if job.is_open:
        raise InvalidTransition(f"job {job.id.hex} is {job.state} and goes on by itself")
    if job.purged_at is None and not _rows(job).exclude(state=JobNodeState.DONE).exists():
        raise InvalidTransition(f"every node of job {job.id.hex} is done: verify it, if you doubt that")
    _reopen(job, links or get_links(), anew=False)


def verify(job: Job, links: Links | None = None) -> int:
    """Has nodes that are done read their files again; what is damaged is fetched anew. Gives how many were told.

    A job that has ended runs again meanwhile, and is complete when every node has shown that its files are whole.
    Raises InvalidTransition for a job that moved nothing or was purged, and the Redis error.
    """
    links = links or get_links()
    if job.purged_at is not None:
        raise InvalidTransition(f"the files of job {job.id.hex} were removed: there is nothing to verify")
    names = list(_rows(job).filter(state=JobNodeState.DONE).order_by("id").values_list("node__name", flat=True))
    if not names:
        raise InvalidTransition(f"no node of job {job.id.hex} is done yet: there is nothing to verify")
    for name in names:  # before the job is open again: a node reads its files first, and says then what it holds
        links.scheduler.order(name, {"op": "verify", "job": job.id.hex})
    if not job.is_open:
        _reopen(job, links, anew=True)
    logger.info("verifying job=%s nodes=%d", job.id.hex, len(names))
    return len(names)


def take_up(job: Job, links: Links) -> None:
    """Goes on with a job that has ended, for every node that is on its list by now and is not done.

    As `retry`, and there need be none: it ends again then. Raises InvalidTransition, and the Redis error.
    """
    _reopen(job, links, anew=False)


def _reopen(job: Job, links: Links, *, anew: bool) -> None:
    scheduler = links.scheduler
    with suppress(NoSuchJob):
        scheduler.cancel(job.id.hex, "taken up again")  # it may not have heard of the end yet
    scheduler.forget(job.id.hex)
    bounds = scheduler.stream_bounds()
    job.reopen(bounds[1] if bounds else recorder.BEGINNING, anew=anew)
    links.nudge(job.id.hex, publish(job, links))
    logger.info("taken up again job=%s", job.id.hex)


def _rows(job: Job) -> QuerySet[JobNode]:
    return JobNode.objects.filter(job=job).exclude(state=JobNodeState.WITHDRAWN)
