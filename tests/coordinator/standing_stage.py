"""A fleet whose nodes keep files and links by word only, for tests of what the coordinator makes of a standing one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fdist_site.local.gcs_server import GcsServer
from nodes import inventory
from nodes.inventory import Inventory, Kept, Linked
from tests.site_fixtures import TERABYTE, Fleet, fold
from transfers.coordinator.planner import RECONCILE_SECONDS, Planner
from transfers.coordinator.standing import StandingKeeper
from transfers.dataplane.current import VersionPlace
from transfers.errors import NoSuchJob
from transfers.links import Links
from transfers.models import Job, JobNode, Standing, StandingEvent, StandingNode, StandingVersion
from transfers.scheduler.types import Heartbeat
from transfers.standing import acts

LABELS = {"model": "llama"}
BOTH = ("gpu-01", "gpu-02")
_numbers = itertools.count(1)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """holds: node -> jobs whose files it has. linked: node -> the job that its link names."""

    def __init__(self, fleet: Fleet, links: Links, gcs: GcsServer) -> None:
        self.fleet = fleet
        self.links = links
        self.gcs = gcs
        self.clock = Clock()
        self.planner = Planner(links, self.clock)
        self.keeper = StandingKeeper(links, self.clock)
        self.prefix = f"m{next(_numbers)}"
        self.holds: dict[str, set[str]] = {}
        self.linked: dict[str, str] = {}
        gcs.bucket("standing")

    @property
    def source(self) -> str:
        return f"gs://standing/{self.prefix}/"

    def put(self, text: str, name: str = "config.json") -> None:
        """A new generation."""
        self.gcs.put("standing", f"{self.prefix}/{name}", text.encode())

    def nodes(self, *names: str, labels: Mapping[str, str] = LABELS) -> None:
        self.fleet.add(*names, labels=dict(labels))
        for name in names:
            self.holds.setdefault(name, set())

    def down(self, *names: str) -> None:
        for name in names:
            self.links.scheduler.leave(name)
            self.fleet.epochs.pop(name)
        fold(self.links)

    def create(self, **fields: Any) -> Standing:
        values: dict[str, Any] = {"settle_seconds": 0, "check_seconds": 3600, "nodes": {"labels": dict(LABELS)}}
        return acts.create({"name": self.prefix, "source": self.source, **values, **fields}, links=self.links)

    def standing(self) -> Standing:
        return Standing.objects.select_related("wanted").get(name=self.prefix)

    def version(self, number: int) -> StandingVersion:
        return StandingVersion.objects.select_related("job").get(standing=self.standing(), number=number)

    def job(self, number: int) -> str:
        return self.version(number).job_id.hex

    # --- turns

    def coordinate(self) -> None:
        """A round of the planner and of the part under test, with the listing that it begins."""
        self.clock.now += RECONCILE_SECONDS
        self.planner.step()
        self.keeper.step()
        listings = list(self.keeper._listings.values())
        for listing in listings:
            listing.exception(timeout=10)
        if listings:
            self.keeper.step()
        fold(self.links)

    def act(self, *, move: bool = True) -> None:
        """Every node that is up obeys, moves what it is to have, follows the word about its link, and says so."""
        wanted = self.links.scheduler.currents().jobs
        for name, epoch in self.fleet.epochs.items():
            reply = self.links.scheduler.heartbeat(Heartbeat(node=name, epoch=epoch, disk_free=TERABYTE))
            for order in reply.orders:
                self._obey(name, order)
        if move:
            for job in self.links.scheduler.jobs():
                self._move(job)
            fold(self.links)
        for name in self.fleet.epochs:
            for job in wanted.values():
                if job in self.holds[name]:
                    self.linked[name] = job
            self._tell(name)

    def rounds(self, count: int = 3) -> None:
        for _ in range(count):
            self.coordinate()
            self.act()
        self.coordinate()

    def newer(self, text: str = "two") -> None:
        """A new generation, at which the next round looks."""
        self.put(text)
        self.look()

    def look(self) -> None:
        """Has the source looked at in the next round."""
        acts.check(self.standing())

    def _obey(self, name: str, order: Mapping[str, Any]) -> None:
        job = order.get("job", "")
        if order["op"] != "purge" or (order.get("unless_linked") and self.linked.get(name) == job):
            return
        self.holds[name].discard(job)
        self.fleet.held.pop((job, name), None)
        if self.linked.get(name) == job:
            del self.linked[name]

    def _move(self, job: str) -> None:
        scheduler = self.links.scheduler
        for name, epoch in self.fleet.epochs.items():
            try:
                scheduler.announce(job, name, epoch, self.fleet.held.get((job, name), {}))
                if job in self.holds[name]:
                    scheduler.finish(job, name, epoch)
            except NoSuchJob:
                continue
        self.fleet.move(job)
        for row in scheduler.job_nodes(job):
            if row.state == "done":
                self.holds[row.node].add(job)

    def _tell(self, name: str) -> None:
        at = int(self.links.redis.time()[0]) * 1000 + 5000
        kept = {job: Kept(100, pinned=True, whole=True) for job in self.holds[name]}
        links = {}
        if job := self.linked.get(name):
            place = VersionPlace.of(Job.objects.get(pk=job).destination)
            assert place is not None
            links[place.base] = Linked(job)
        inventory.put(self.links.redis, self.links.cell, name, Inventory(at, None, 0, 0, kept, links=links))

    # --- what came of it

    def uses(self) -> dict[str, int | None]:
        """By the record, node -> the version that its link names."""
        rows = StandingNode.objects.filter(standing__name=self.prefix, leaving=False)
        return dict(rows.values_list("node__name", "uses__number"))

    def states(self, number: int) -> dict[str, str]:
        return dict(JobNode.objects.filter(job=self.version(number).job).values_list("node__name", "state"))

    def numbers(self, node: str) -> set[int]:
        """The versions of which a node has the files."""
        found = StandingVersion.objects.filter(job__in=list(self.holds[node]))
        return set(found.values_list("number", flat=True))

    def kinds(self) -> list[str]:
        return list(StandingEvent.objects.filter(standing__name=self.prefix).values_list("kind", flat=True))


@pytest.fixture
def stage(fleet: Fleet, links: Links, gcs: GcsServer) -> Iterator[Stage]:
    """With a source, and no node yet."""
    found = Stage(fleet, links, gcs)
    found.put("one")
    yield found
    found.keeper._listers.shutdown()


@pytest.fixture
def running(stage: Stage) -> Stage:
    """Version 1 is on both nodes and in use."""
    stage.nodes(*BOTH)
    stage.create()
    stage.rounds()
    assert stage.uses() == dict.fromkeys(BOTH, 1)
    return stage
