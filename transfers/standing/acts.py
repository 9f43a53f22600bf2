"""What people do to standing distributions. The one way in for API, commands, admin and pages.

The record comes first; what Redis has to be told, the coordinator's part tells again until it is so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import redis
from django.db import IntegrityError, transaction
from django.utils import timezone

from transfers import submission
from transfers.errors import InvalidTransition, PlanError
from transfers.links import Links, get_links
from transfers.models import Job, JobNode, JobNodeState, Standing, StandingEvent, StandingEventKind, StandingVersion
from transfers.planning import Listing, SourceUri, parse_source
from transfers.standing import versions
from transfers.standing.request import CHANGEABLE, StandingRequest, overlaps
from transfers.standing.source import fingerprint

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

logger = logging.getLogger(__name__)
OWN_FIELDS = ("share", "versions_kept", "check_seconds", "settle_seconds", "marker")


def create(data: Mapping[str, Any], user: User | AnonymousUser | None = None, links: Links | None = None) -> Standing:
    """Records a standing distribution; its first version starts when the source has settled and a node is there.

    Raises PlanError that names the field, SourceBusy when the bucket cannot be asked.
    """
    links = links or get_links()
    asked, seen = examine(data, links)
    now = timezone.now()
    standing = Standing(
        cell=links.cell,
        name=asked.name,
        source=asked.source,
        selector=dict(asked.nodes),
        destination=asked.destination,
        options=dict(asked.options),
        seen=seen,
        seen_since=now if seen else None,
        seen_times=1 if seen else 0,
        checked_at=now,
        check_at=now
        + timedelta(seconds=min(asked.settle_seconds, asked.check_seconds) if seen and not asked.marker else 0),
        created_by=user if user is not None and user.is_authenticated else None,
        **{name: getattr(asked, name) for name in OWN_FIELDS},
    )
    try:
        with transaction.atomic():
            standing.save(force_insert=True)
            StandingEvent.of(standing, StandingEventKind.CREATED)
    except IntegrityError:
        _check_place(asked, links.cell)  # another request was quicker: it says with what
        raise
    logger.info("created standing=%s source=%s", standing.name, standing.source)
    return standing


def examine(data: Mapping[str, Any], links: Links) -> tuple[StandingRequest, str]:
    """What is asked for, checked, and the fingerprint of its source; "" while nothing of it could be distributed.

    Raises PlanError that names the field, SourceBusy.
    """
    asked = StandingRequest.from_dict(data)
    _check_place(asked, links.cell)
    return asked, _look(asked, links)


def _check_place(asked: StandingRequest, cell: str) -> None:
    for name, destination in Standing.objects.filter(cell=cell).values_list("name", "destination"):
        if name == asked.name:
            raise PlanError(
                "name", f'there is a standing distribution "{name}" already; change that, or take another name'
            )
        if overlaps(destination, asked.destination):
            raise PlanError(
                "destination",
                f'"{asked.destination}" is where the standing distribution {name} has its versions ("{destination}"); '
                "give each a folder of its own",
            )


def _look(asked: StandingRequest, links: Links) -> str:
    """The source's fingerprint; "" while it has nothing that could be distributed. Raises PlanError, SourceBusy."""
    listing = list_source(parse_source(asked.source), links)
    if not listing.objects:
        return ""
    try:
        return fingerprint(listing, asked.marker)
    except PlanError:
        return ""


def list_source(uri: SourceUri, links: Links) -> Listing:
    from transfers.sources import list_source  # the bucket's libraries, which only who lists needs

    return list_source(links.bucket, uri)


def change(standing: Standing, data: Mapping[str, Any]) -> None:
    """Changes what is in `data`. What concerns jobs counts for versions that start from now on. Raises PlanError."""
    if fixed := sorted(set(data) - set(CHANGEABLE)):
        raise PlanError(
            fixed[0],
            f"{fixed[0]} cannot be changed: delete the standing distribution and create it anew, or make another",
        )
    asked = StandingRequest.from_dict({**as_request(standing), **data})
    changed = {name: getattr(asked, name) for name in OWN_FIELDS if getattr(asked, name) != getattr(standing, name)}
    if dict(asked.nodes) != standing.selector:
        changed["selector"] = dict(asked.nodes)
    if dict(asked.options) != standing.options:
        changed["options"] = dict(asked.options)
    if not changed:
        return
    if "marker" in changed:  # what it saw before was of another kind
        changed |= {"seen": "", "seen_since": None, "seen_times": 0}
    with transaction.atomic():
        Standing.objects.filter(pk=standing.pk).update(**changed, check_at=timezone.now())
        if "selector" in changed:
            kept = Job.objects.filter(standing_version__standing=standing, standing_version__retired_at=None)
            kept.update(selector=changed["selector"])
        StandingEvent.of(standing, StandingEventKind.CHANGED, why=", ".join(sorted(set(changed) - SEEN)))
    standing.refresh_from_db()


SEEN = {"seen", "seen_since", "seen_times"}


def as_request(standing: Standing) -> dict[str, Any]:
    """As it would be asked for."""
    return {
        "name": standing.name,
        "source": standing.source,
        "destination": standing.destination,
        "nodes": standing.selector,
        **{name: getattr(standing, name) for name in OWN_FIELDS},
        **standing.options,
    }


def pause(standing: Standing, why: str = "") -> None:
    """No new version and no switch from now on; nodes that join are served. Raises InvalidTransition."""
    if not Standing.objects.filter(pk=standing.pk, paused=False).update(paused=True):
        raise InvalidTransition(f"the standing distribution {standing} is paused already")
    standing.paused = True
    StandingEvent.of(standing, StandingEventKind.PAUSED, why=why)


def resume(standing: Standing, why: str = "") -> None:
    """Goes on after a pause, and after a rollback: the newest version is used again. Raises InvalidTransition."""
    if not standing.paused and not standing.passed_over:
        raise InvalidTransition(f"the standing distribution {standing} is neither paused nor rolled back")
    Standing.objects.filter(pk=standing.pk).update(paused=False, passed_over=0, check_at=timezone.now())
    standing.refresh_from_db()
    StandingEvent.of(standing, StandingEventKind.RESUMED, why=why)


def check(standing: Standing) -> None:
    """Has the source looked at now; raises InvalidTransition for one that is paused."""
    if standing.paused:
        raise InvalidTransition(
            f"the standing distribution {standing} is paused: resume it, and its source is looked at"
        )
    standing.check_at = timezone.now()
    standing.save(update_fields=["check_at"])


def possible(standing: Standing, *, earlier: bool) -> list[str]:
    """Which of pause, resume, check and rollback make sense now. earlier: whether a version is kept to go back to."""
    found = ["resume"] if standing.paused or standing.passed_over else []
    if not standing.paused:
        found += ["check", "pause"]
    if earlier:
        found.append("rollback")
    return found


def rollback(
    standing: Standing, number: int | None = None, why: str = "", links: Links | None = None
) -> StandingVersion:
    """Has nodes use an earlier version that they keep: at once, where they have it; the others when they do.

    number: None for the one that was current before. Versions up to the one that was left are passed over from now on,
    until somebody resumes. Raises PlanError("version"), InvalidTransition.
    """
    links = links or get_links()
    target = _target(standing, number)
    done = JobNode.objects.filter(job=target.job, state=JobNodeState.DONE)
    if not done.exists():
        raise InvalidTransition(f"no node has {target} whole: there is nothing to go back to")
    left = standing.current_number or 0
    passed_over = max(standing.passed_over, left) if target.number < left else standing.passed_over
    if not versions.use(standing, target, StandingEventKind.BACK, passed_over, why):
        raise InvalidTransition(f"the standing distribution {standing} has just switched: look again")
    try:
        versions.tell(standing, links)
    except redis.RedisError as error:
        logger.warning("nodes not told yet standing=%s error=%s", standing.name, error)
    return target


def _target(standing: Standing, number: int | None) -> StandingVersion:
    kept = standing.versions.filter(retired_at=None).exclude(current_at=None)
    if standing.wanted_id is not None:
        kept = kept.exclude(pk=standing.wanted_id)
    if number is None:
        found = kept.order_by("-current_at").first()
        if found is None:
            raise InvalidTransition(f"the standing distribution {standing} keeps no version that was used before")
        return found
    found = kept.filter(number=number).first()
    if found is None:
        numbers = sorted(kept.values_list("number", flat=True))
        if number == standing.current_number:
            raise InvalidTransition(f"{standing} uses version {number} already")
        there = f"kept are {', '.join(map(str, numbers))}" if numbers else "none is kept"
        raise PlanError("version", f"nodes do not keep a version {number} that was used before: {there}")
    return found


def delete(standing: Standing, *, purge: bool, links: Links | None = None) -> int:
    """Ends a standing distribution; gives how many versions it had on nodes.

    purge: its versions and the links are removed from all nodes, also from those that come back later. Else the files
    and the links stay as they are, and each version's job is one like any other.
    """
    links = links or get_links()
    kept = list(standing.versions.filter(retired_at=None).select_related("job"))
    jobs = [version.job for version in kept]
    for job in jobs:
        if job.is_open:
            submission.cancel(job, f"the standing distribution {standing} was deleted", links)
    with transaction.atomic():
        changes: dict[str, Any] = {"pinned": False} | ({"purged_at": timezone.now()} if purge else {})
        Job.objects.filter(pk__in=[job.pk for job in jobs]).update(**changes)
        standing.delete()
    logger.info("deleted standing=%s versions=%d purge=%s", standing.name, len(kept), purge)
    try:
        links.scheduler.set_current(standing.destination, "")
        if purge:
            for job in jobs:
                submission.purge(Job.objects.get(pk=job.pk), links)
    except redis.RedisError as error:  # the coordinator's part goes on with it
        logger.warning("nodes not told yet standing=%s error=%s", standing.name, error)
    return len(kept)
