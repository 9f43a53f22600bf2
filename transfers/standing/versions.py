"""Versions: how one starts, comes into use and goes. Each is an ordinary job to a folder of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import redis
from django.db import transaction
from django.utils import timezone

from transfers import submission
from transfers.dataplane.current import VersionPlace
from transfers.errors import InvalidTransition
from transfers.links import Links
from transfers.models import Job, Standing, StandingEvent, StandingEventKind, StandingVersion
from transfers.planning import JobRequest, Listing, NodeFacts, draft_job
from transfers.planning.request import MAX_NAME
from transfers.publishing import publish
from transfers.standing.request import StandingRequest

logger = logging.getLogger(__name__)


def start(
    standing: Standing, listing: Listing, fingerprint: str, nodes: Iterable[str], links: Links
) -> StandingVersion:
    """A new version of what the listing says, and its job for these nodes. Raises PlanError.

    A node that has no room for it fails by itself, and says so: it does not keep the others from the version.
    """
    names = sorted(nodes)
    number = last_number(standing) + 1
    request = JobRequest.from_dict(as_job(standing, number, {"names": names}))
    plan = draft_job(request, listing, [NodeFacts(name) for name in names])
    with transaction.atomic():
        job = submission.record(plan, links.cell, standing.created_by)
        job.selector, job.pinned = standing.selector, True
        job.save(update_fields=["selector", "pinned"])
        # Later than the rows of its nodes, which tell by that who was there from the start.
        version = StandingVersion.objects.create(standing=standing, number=number, job=job, fingerprint=fingerprint)
        StandingEvent.of(standing, StandingEventKind.STARTED, version=number)
    logger.info("started standing=%s version=%d job=%s nodes=%d", standing.name, number, job.id.hex, len(names))
    try:
        links.nudge(job.id.hex, publish(job, links))
    except redis.RedisError as error:
        logger.warning("not published yet job=%s error=%s", job.id.hex, error)
    return version


def as_job(standing: Standing | StandingRequest, number: int, nodes: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked of the job that brings a version to these nodes, a selector."""
    return {
        **standing.options,
        "name": f"{standing.name} version {number}"[:MAX_NAME],
        "source": standing.source,
        "nodes": nodes,
        "destination": VersionPlace(standing.destination, number).destination,
        "quorum": standing.share,
    }


def last_number(standing: Standing) -> int:
    """The last that any job had at this place: what an earlier distribution left there is not written over."""
    place = VersionPlace(standing.destination, 1).destination.removesuffix("1")
    jobs = Job.objects.filter(cell=standing.cell, destination__startswith=place)
    found = [VersionPlace.of(each) for each in jobs.values_list("destination", flat=True).distinct()]
    return max((each.number for each in found if each is not None and each.base == standing.destination), default=0)


def use(standing: Standing, version: StandingVersion, kind: str, passed_over: int, why: str = "") -> bool:
    """Makes a version the one to use; False when a person or another coordinator was quicker.

    The record comes first; the scheduler is told by `tell`, again and again.
    """
    now = timezone.now()
    with transaction.atomic():
        mine = Standing.objects.filter(pk=standing.pk, wanted=standing.wanted_id, passed_over=standing.passed_over)
        if kind == StandingEventKind.SWITCHED:
            mine = mine.filter(paused=False)
        if not mine.update(wanted=version, passed_over=passed_over):
            return False
        StandingVersion.objects.filter(pk=version.pk).update(current_at=now, reached_at=None)
        StandingEvent.of(standing, kind, version=version.number, why=why)
    standing.wanted, standing.passed_over = version, passed_over
    version.current_at, version.reached_at = now, None
    logger.info("%s standing=%s version=%d job=%s", kind, standing.name, version.number, version.job_id.hex)
    return True


def tell(standing: Standing, links: Links) -> bool:
    """Has nodes use what the record wants at this moment; says whether that was news. Raises RedisError.

    It is read again: whoever looked at it a while ago must not take back what a person has changed since.
    """
    job = Standing.objects.filter(pk=standing.pk).values_list("wanted__job", flat=True).first()
    return links.scheduler.set_current(standing.destination, job.hex if job else "")


def retire(version: StandingVersion, kind: str, links: Links, why: str = "") -> None:
    """Takes a version out of use: its job ends, and its files are ordered off the nodes until they are gone."""
    job, now = version.job, timezone.now()
    if job.is_open:
        try:
            submission.cancel(job, f"{version} is no longer wanted", links)
        except InvalidTransition as error:  # it ended meanwhile
            logger.info("not cancelled job=%s reason=%s", job.id.hex, error)
    with transaction.atomic():
        StandingVersion.objects.filter(pk=version.pk).update(retired_at=now)
        Job.objects.filter(pk=job.pk).update(pinned=False, purged_at=now)
        StandingEvent.of(version.standing, kind, version=version.number, why=why)
    version.retired_at = now
    with suppress(redis.RedisError):  # the planner has it forgotten in the end
        links.scheduler.forget(job.id.hex)
    logger.info("%s standing=%s version=%d job=%s", kind, version.standing.name, version.number, job.id.hex)
