"""Keeps standing distributions: looks at their sources, starts versions, has nodes use them, and sees to who has them.

Each round goes by what the record and the nodes say now, so that whatever was lost, and whoever was away, comes right
with one of the next. Sources are listed in threads, since a bucket may take its time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

import redis
from django.db import Error as DatabaseError
from django.utils import timezone

from transfers.errors import FdistError, PlanError
from transfers.links import Links
from transfers.logs import about
from transfers.models import (
    Job,
    JobNode,
    JobNodeState,
    JobState,
    Standing,
    StandingEvent,
    StandingEventKind,
    StandingVersion,
)
from transfers.planning import Listing, parse_source
from transfers.standing import decide, members, record, versions
from transfers.standing.acts import list_source
from transfers.standing.decide import NO_NODE, Sight, VersionFacts
from transfers.standing.fleet import Fleet, Picked
from transfers.standing.leftovers import Leftovers
from transfers.standing.source import fingerprint

logger = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
LONGEST_REST = 10.0
REST_SHARE = 4  # a round that took a second of the processor is followed by so many seconds of rest
LISTERS = 4
PURGED_LATELY = timedelta(days=1)

Names = dict[str, tuple[str, datetime]]  # node -> its state in a job, and since when it is on the list


class StandingKeeper:
    """clock: monotonic seconds."""

    name = "standing"

    def __init__(self, links: Links, clock: Callable[[], float] = time.monotonic) -> None:
        self.links = links
        self.clock = clock
        self.retries = members.Retries(clock)
        self.leftovers = Leftovers(links, clock)
        self._listers = ThreadPoolExecutor(LISTERS, thread_name_prefix="fdist-lister")
        self._listings: dict[int, Future[Listing]] = {}

    def step(self) -> float:
        begun = time.thread_time()
        told = self.links.scheduler.currents().jobs  # before the record: what is changed in between is told next time
        standings = list(
            Standing.objects.filter(cell=self.links.cell).select_related("wanted", "created_by").order_by("pk")
        )
        self._listings = {pk: found for pk, found in self._listings.items() if pk in {each.pk for each in standings}}
        self._tell(standings, told)
        if standings or Job.objects.filter(purged_at__gt=timezone.now() - PURGED_LATELY).exists():
            fleet = Fleet.read(self.links)
            for standing in standings:
                try:
                    self._see_to(standing, fleet)
                except FdistError as error:  # something ended meanwhile; the next round sees that
                    logger.info("passed over standing=%s reason=%s", standing.name, error)
                except (redis.RedisError, DatabaseError):
                    raise
                except Exception:  # a fault of ours with one must not end the work for the others
                    logger.exception("a round failed standing=%s", standing.name)
            self.leftovers.clear(fleet)
        kept = StandingVersion.objects.filter(standing__in=standings, retired_at=None).values_list("job", flat=True)
        self.retries.keep({job.hex for job in kept})
        return min(max(ROUND_SECONDS, REST_SHARE * (time.thread_time() - begun)), LONGEST_REST)

    def _tell(self, standings: list[Standing], told: Mapping[str, str]) -> None:
        """What nodes are to use, as the record has it: also after Redis lost it."""
        for folder in told.keys() - {each.destination for each in standings}:
            self.links.scheduler.set_current(folder, "")
        for standing in standings:
            if told.get(standing.destination, "") != (standing.wanted.job_id.hex if standing.wanted else ""):
                versions.tell(standing, self.links)

    def _see_to(self, standing: Standing, fleet: Fleet) -> None:
        picked = fleet.pick(standing.selector)
        kept = list(standing.versions.filter(retired_at=None).select_related("job", "standing").order_by("number"))
        listed = {version.number: _on_list(version.job) for version in kept}
        if not standing.paused:
            kept += self._look(standing, kept, picked)
            self._switch(standing, kept, listed, picked)
            kept = self._retire(standing, kept)
        self._keep_members(standing, kept, listed, picked)
        self._note_failures(standing, kept)
        record.note(standing, fleet, picked, self.links)
        if standing.wanted is not None:
            record.note_reached(standing, _counted(standing.wanted, listed, picked))

    # --- the source

    def _look(self, standing: Standing, kept: list[StandingVersion], picked: Picked) -> list[StandingVersion]:
        """Lists the source when that is due; gives the version that started, if one did."""
        now = timezone.now()
        listing = self._listings.get(standing.pk)
        if listing is None:
            if standing.check_at <= now or (standing.trouble == NO_NODE and picked.live):
                uri = parse_source(standing.source)
                self._listings[standing.pk] = self._listers.submit(list_source, uri, self.links)
            return []
        if not listing.done():
            return []
        del self._listings[standing.pk]
        with about(standing=standing.name):
            return self._seen(standing, listing, kept, picked, now)

    def _seen(
        self,
        standing: Standing,
        listing: Future[Listing],
        kept: list[StandingVersion],
        picked: Picked,
        now: datetime,
    ) -> list[StandingVersion]:
        interval, settle = timedelta(seconds=standing.check_seconds), timedelta(seconds=standing.settle_seconds)
        started: list[StandingVersion] = []
        sight = Sight(standing.seen, standing.seen_since, standing.seen_times)
        try:
            found = listing.result()
            if not found.objects:
                raise PlanError("source", f"{standing.source} holds no object yet")
            sight = sight.again(fingerprint(found, standing.marker), now)
            settled = sight.is_settled(settle, now, marked=bool(standing.marker))
            trouble = ""
            if settled and sight.fingerprint != _newest(standing):
                if picked.live:
                    started.append(versions.start(standing, found, sight.fingerprint, picked.live, self.links))
                else:
                    trouble = NO_NODE
            check_at = sight.next_look(settle, interval, now, settled=settled)
        except FdistError as error:
            trouble, check_at = str(error), now + interval
        if trouble and trouble != standing.trouble and trouble != NO_NODE:
            StandingEvent.of(standing, StandingEventKind.TROUBLE, why=trouble)
            logger.warning("no version standing=%s reason=%s", standing.name, trouble)
        Standing.objects.filter(pk=standing.pk).update(
            seen=sight.fingerprint,
            seen_since=sight.since,
            seen_times=sight.times,
            checked_at=now,
            trouble=trouble,
            check_at=check_at,
        )
        standing.trouble = trouble
        return started

    # --- versions

    def _switch(
        self, standing: Standing, kept: list[StandingVersion], listed: dict[int, Names], picked: Picked
    ) -> None:
        facts = [_facts(version, listed, picked) for version in kept]
        number = decide.next_current(standing.current_number, standing.passed_over, standing.share, facts)
        version = next((each for each in kept if each.number == number), None)
        if version is not None and versions.use(standing, version, StandingEventKind.SWITCHED, standing.passed_over):
            versions.tell(standing, self.links)

    def _retire(self, standing: Standing, kept: list[StandingVersion]) -> list[StandingVersion]:
        facts = [VersionFacts(version.number, current_at=version.current_at) for version in kept]
        gone = {
            **dict.fromkeys(decide.superseded(standing.current_number, facts), StandingEventKind.SUPERSEDED),
            **dict.fromkeys(
                decide.too_old(standing.current_number, standing.versions_kept, facts), StandingEventKind.RETIRED
            ),
        }
        for version in kept:
            if version.number in gone:
                versions.retire(version, gone[version.number], self.links)
        return [version for version in kept if version.number not in gone]

    def _keep_members(
        self, standing: Standing, kept: list[StandingVersion], listed: dict[int, Names], picked: Picked
    ) -> None:
        facts = [VersionFacts(version.number) for version in kept]
        served = {standing.current_number, decide.pending(standing.current_number, standing.passed_over, facts)}
        for version in kept:
            states = {name: state for name, (state, _) in listed.get(version.number, {}).items()}
            if not states:
                continue  # it has just started, with its nodes
            with about(job=version.job.id.hex):
                members.keep_members(
                    version,
                    states,
                    picked,
                    self.retries,
                    self.links,
                    serve=version.number in served,
                    current=version.number == standing.current_number,
                )

    def _note_failures(self, standing: Standing, kept: list[StandingVersion]) -> None:
        for version in kept:
            failure = version.job.error or "its job failed" if version.job.state == JobState.FAILED else ""
            if failure == version.failure:
                continue
            version.failure = failure
            version.save(update_fields=["failure"])
            if failure:
                StandingEvent.of(standing, StandingEventKind.FAILED, version=version.number, why=failure)


def _newest(standing: Standing) -> str:
    """The fingerprint of the version that started last."""
    return standing.versions.order_by("-number").values_list("fingerprint", flat=True).first() or ""


def _on_list(job: Job) -> Names:
    rows = JobNode.objects.filter(job=job).values_list("node__name", "state", "enrolled_at")
    return {name: (state, at) for name, state, at in rows}


def _counted(version: StandingVersion, listed: dict[int, Names], picked: Picked) -> frozenset[str]:
    rows = listed.get(version.number, {})
    founders = {name for name, (_, at) in rows.items() if at <= version.created_at}
    return decide.counting(founders, picked.live)


def _facts(version: StandingVersion, listed: dict[int, Names], picked: Picked) -> VersionFacts:
    rows, counted = listed.get(version.number, {}), _counted(version, listed, picked)
    ready = sum(name in rows and rows[name][0] == JobNodeState.DONE for name in counted)
    return VersionFacts(version.number, len(counted), ready, version.current_at)
