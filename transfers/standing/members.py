"""The nodes of a version's job: who joins it, gets another try, and leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable

from django.utils import timezone

from transfers import reopening
from transfers.links import Links
from transfers.models import Job, JobNode, JobNodeState, JobState, StandingVersion
from transfers.standing.decide import membership
from transfers.standing.fleet import Picked
from transfers.submission import enlist

logger = logging.getLogger(__name__)

FIRST_PAUSE = 60.0  # seconds until a node that failed is tried again; each pause is twice the one before
LONGEST_PAUSE = 3600.0
WHOLE_JOB = ""


class Retries:
    """When what failed is tried again; in memory, so that a restart begins with the first pause. clock: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[tuple[str, str], tuple[float, float]] = {}  # (job, node) -> when, and the pause after that

    def due(self, job: str, failed: Iterable[str]) -> set[str]:
        """Those whose time has come; they are counted as tried now."""
        now, found = self._clock(), set()
        for node in failed:
            when, pause = self._due.setdefault((job, node), (now + FIRST_PAUSE, FIRST_PAUSE * 2))
            if now >= when:
                found.add(node)
                self._due[job, node] = (now + pause, min(pause * 2, LONGEST_PAUSE))
        return found

    def keep(self, jobs: Collection[str]) -> None:
        """Forget those of other jobs."""
        self._due = {key: value for key, value in self._due.items() if key[0] in jobs}


def keep_members(
    version: StandingVersion,
    states: dict[str, str],
    picked: Picked,
    retries: Retries,
    links: Links,
    *,
    serve: bool,
    current: bool,
) -> None:
    """Brings the job's list to what the selector says.

    states: of the nodes on the list. serve: whether nodes that do not have it are to get it. current: whether it is
    the version in use, whose job goes on whoever cancelled it. Raises RedisError.
    """
    job = version.job
    if serve and (job.state == JobState.FAILED or (current and job.state == JobState.CANCELLED)):
        _try_again(job, membership(states, picked.live, (), ()).join, retries, links)
    failed = [name for name, state in states.items() if state == JobNodeState.FAILED and name in picked.live]
    wanting = picked.live if serve and job.state not in (JobState.CANCELLED, JobState.FAILED) else ()
    due = retries.due(job.id.hex, failed) if wanting else ()
    changes = membership(states, wanting, picked.others, due)
    if changes.leave:
        _withdraw(job, changes.leave, links)
    if changes.join or changes.again:
        lost = {name for name in changes.again if states[name] != JobNodeState.STOPPED}
        _enrol(job, changes.join | changes.again, lost, links)


def _try_again(job: Job, joining: Collection[str], retries: Retries, links: Links) -> None:
    """A job that ended badly goes on after a pause, and at once for a node that has not tried yet."""
    due = retries.due(job.id.hex, [WHOLE_JOB])
    if job.budget_left == 0 or not (due or joining):
        return
    logger.info("trying again job=%s error=%s joining=%s", job.id.hex, job.error, ",".join(sorted(joining)))
    enlist(job, sorted(joining))
    reopening.take_up(job, links)


def _withdraw(job: Job, names: Iterable[str], links: Links) -> None:
    listed = sorted(names)
    JobNode.objects.filter(job=job, node__name__in=listed).update(state=JobNodeState.WITHDRAWN, shards_held=0, error="")
    if links.scheduler.job_state(job.id.hex) is not None:
        links.scheduler.withdraw(job.id.hex, listed)
    logger.info("withdrew job=%s nodes=%s", job.id.hex, ",".join(listed))


def _enrol(job: Job, nodes: Iterable[str], lost: Iterable[str], links: Links) -> None:
    """lost: those of the nodes of which the scheduler may still believe that they have it, or have failed."""
    names, back = sorted(nodes), sorted(lost)
    enlist(job, names)
    rows = JobNode.objects.filter(job=job, node__name__in=names)
    rows.exclude(state__in=[JobNodeState.DONE, JobNodeState.MOVING]).update(
        state=JobNodeState.ENROLLED,
        shards_held=0,
        error="",
        started_at=None,
        finished_at=None,
        enrolled_at=timezone.now(),
    )
    logger.info("enrolled job=%s nodes=%s", job.id.hex, ",".join(names))
    hot = links.scheduler.job(job.id.hex)
    if hot is not None:
        if back:
            links.scheduler.withdraw(job.id.hex, back)
        links.scheduler.enrol(job.id.hex, names)
        links.nudge(job.id.hex, names)
    elif not job.is_open:
        reopening.take_up(job, links)
    # An open job that the scheduler does not have is published by the planner, with all on the list.
