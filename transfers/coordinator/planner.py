"""Keeps the scheduler and the record telling the same story.

Each round: the enrolment keys that are valid; the fleet into the record; each open job into the scheduler if it is not
there (it was planned while Redis was away, or Redis lost its data); nodes that came later onto the jobs that want them;
a nudge to nodes that have work and are quiet; and, now and then, what the event stream may have missed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.utils import timezone

from nodes import inventory
from nodes.fleet import keep_caps
from nodes.labels import matches
from nodes.mirror import mirror_nodes
from nodes.models import EnrolmentKey, Node
from transfers.coordinator.reconcile import reconcile
from transfers.coordinator.stock import Stock
from transfers.errors import FdistError
from transfers.links import Links
from transfers.logs import about
from transfers.models import FINAL_STATES, Job, JobNode, JobNodeState, JobState, Standing
from transfers.publishing import publish
from transfers.scheduler.types import UP, JobNodeView, NodeView
from transfers.submission import enlist
from transfers.words import size_text

logger = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
RECONCILE_SECONDS = 5.0
NUDGE_AGAIN_SECONDS = 10.0
FORGET_AFTER = timedelta(hours=1)  # a job that ended stays readable in the scheduler for this long
QUIET = {"enrolled", "ready"}  # has work, and neither moves nor waits


class Planner:
    name = "planner"

    def __init__(self, links: Links, clock: Callable[[], float] = time.monotonic) -> None:
        self.links = links
        self.clock = clock
        self.reconciled = float("-inf")
        self.nudged: dict[tuple[str, str], float] = {}
        self.refused: set[tuple[str, str]] = set()
        self.stock = Stock(links, clock)

    def step(self) -> float:
        scheduler = self.links.scheduler
        scheduler.set_enrolment_keys(list(EnrolmentKey.objects.valid().values_list("digest", flat=True)))
        views = scheduler.nodes()
        self._keep_draining(views)
        keep_caps(self.links.cell, {view.name: view.epoch for view in views if view.state in UP}, scheduler)
        mirror_nodes(self.links.cell, views)
        jobs = list(Job.objects.open().filter(cell=self.links.cell))
        known = set(scheduler.jobs())
        due = self.clock() - self.reconciled >= RECONCILE_SECONDS
        for job in jobs:
            try:
                with about(job=job.id.hex):
                    self._see_to(job, known, views, due)
            except FdistError as error:  # it ended meanwhile, here or in the scheduler; the next round sees that
                logger.info("passed over job=%s reason=%s", job.id.hex, error)
        if due:
            self.stock.take(
                inventory.read_all(self.links.redis, self.links.cell),
                {view.name for view in views if view.state in UP},
            )
            self._clear(known, {job.id.hex for job in jobs})
            self.reconciled = self.clock()
        return ROUND_SECONDS

    def _see_to(self, job: Job, known: set[str], views: Sequence[NodeView], due: bool) -> None:
        if job.id.hex not in known or job.state == JobState.PLANNED:
            self._nudge(job, publish(job, self.links))
        self._enrol_late(job, views)
        if due:
            self._look_at(job, views)

    def _keep_draining(self, views: Sequence[NodeView]) -> None:
        """A node that was draining before Redis lost its data drains again."""
        live = {view.name for view in views if view.state == "live"}
        wanted = Node.objects.filter(cell=self.links.cell, draining=True, name__in=live)
        for name in wanted.values_list("name", flat=True):
            self.links.scheduler.set_draining(name, True)

    def _enrol_late(self, job: Job, views: Sequence[NodeView]) -> None:
        """Nodes that match the job's selector and are not on its list, if they have the room."""
        wanting = {
            view.name: view for view in views if view.state == "live" and matches(job.selector, view.name, view.labels)
        }
        listed = set(JobNode.objects.filter(job=job).values_list("node__name", flat=True))
        late: list[str] = []
        new = sorted(wanting.keys() - listed)
        told = inventory.read_all(self.links.redis, self.links.cell) if new else {}
        for name in new:
            view = wanting[name]
            room = told[name].room(view.disk_free) if name in told else view.disk_free
            if view.disk_total and room < job.size:
                self._refuse(job, name, room)
            else:
                late.append(name)
        if late:
            enlist(job, late)
            self.links.scheduler.enrol(job.id.hex, late)
            logger.info("enrolled late job=%s nodes=%s", job.id.hex, ",".join(late))
            self._nudge(job, late)

    def _refuse(self, job: Job, name: str, room: int) -> None:
        if (job.id.hex, name) not in self.refused:
            self.refused.add((job.id.hex, name))
            logger.warning(
                "not enrolled job=%s node=%s reason=room for %s, %s needed",
                job.id.hex,
                name,
                size_text(room),
                size_text(job.size),
            )

    def _look_at(self, job: Job, views: Sequence[NodeView]) -> None:
        found = self.links.scheduler.job_nodes(job.id.hex)
        self._enrol_missing(job, {node.node for node in found})
        reconcile(job, self.links.scheduler.job(job.id.hex), found)
        if job.state == JobState.RUNNING:
            self._nudge_quiet(job, found, {view.name for view in views if view.state in UP})

    def _enrol_missing(self, job: Job, enrolled: set[str]) -> None:
        """Nodes on the record's list whose enrolment did not reach the scheduler, for example as Redis went away."""
        listed = JobNode.objects.filter(job=job).exclude(state=JobNodeState.WITHDRAWN).order_by("id")
        missing = [name for name in listed.values_list("node__name", flat=True) if name not in enrolled]
        if missing:
            self.links.scheduler.enrol(job.id.hex, missing)
            logger.info("enrolled again job=%s nodes=%d", job.id.hex, len(missing))
            self._nudge(job, missing)

    def _nudge_quiet(self, job: Job, found: Sequence[JobNodeView], reachable: set[str]) -> None:
        quiet = [node.node for node in found if node.state in QUIET and node.node in reachable]
        longest_ago = self.clock() - NUDGE_AGAIN_SECONDS
        self._nudge(job, [name for name in quiet if self.nudged.get((job.id.hex, name), longest_ago) <= longest_ago])

    def _nudge(self, job: Job, names: Sequence[str]) -> None:
        if not names:
            return
        self.links.nudge(job.id.hex, names)
        now = self.clock()
        self.nudged.update({(job.id.hex, name): now for name in names})

    def _clear(self, known: set[str], open_jobs: set[str]) -> None:
        """Jobs that ended by the record: ends them in the scheduler, and has it forget them after a while."""
        self.nudged = {key: at for key, at in self.nudged.items() if key[0] in open_jobs}
        self.refused = {key for key in self.refused if key[0] in open_jobs}
        forget_before = timezone.now() - FORGET_AFTER
        # Nodes that join a standing distribution get what the others use: the scheduler keeps that at hand.
        held = set(Standing.objects.exclude(wanted=None).values_list("wanted__job", flat=True))
        for job in Job.objects.filter(id__in=known - open_jobs, state__in=FINAL_STATES):
            view = self.links.scheduler.job(job.id.hex)
            if view is None:
                continue
            if view.state == "running" and job.state == JobState.COMPLETE:
                continue  # it goes on for a node that came back; the recorder is about to read that
            if view.state in ("running", "paused"):
                logger.info("ending in the scheduler job=%s state=%s", job.id.hex, job.state)
                if job.state == JobState.FAILED:
                    self.links.scheduler.fail_job(job.id.hex, job.error)
                else:
                    self.links.scheduler.cancel(job.id.hex, job.error)
            elif job.finished_at is not None and job.finished_at < forget_before and job.pk not in held:
                logger.info("forgetting job=%s", job.id.hex)
                self.links.scheduler.forget(job.id.hex)
