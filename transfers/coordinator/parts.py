"""The parts, and how to run them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from django.conf import settings

from nodes.identity import Verifier
from transfers import recorder
from transfers.coordinator.herald import Herald
from transfers.coordinator.leader import Leader
from transfers.coordinator.loop import Loop, Part
from transfers.coordinator.planner import Planner
from transfers.coordinator.pruner import Pruner
from transfers.coordinator.registrar import Registrar
from transfers.coordinator.stalls import Watcher
from transfers.coordinator.standing import StandingKeeper
from transfers.links import Links
from transfers.metrics import counts
from transfers.metrics.tally import tally
from transfers.sampling import Sampler
from transfers.webhooks.address import Allowed

logger = logging.getLogger(__name__)

READ_COUNT = 1000  # entries: a second of a busy cell, whose entries have up to eight events
BLOCK_MS = 1000
GATHER_SECONDS = 0.25  # how long events gather for the next batch, whose statements cost the same for one as for many
REAP_SECONDS = 0.5


class Recorder:
    """Events into the record; see transfers.recorder."""

    name = "recorder"

    def __init__(self, links: Links) -> None:
        self.links = links

    def step(self) -> float:
        scheduler, cell = self.links.scheduler, self.links.cell
        at = recorder.position(cell)
        events = scheduler.events(at, count=READ_COUNT, block_ms=BLOCK_MS)
        if events:
            with counts.BATCH.time():
                written = recorder.fold(cell, at, events)
            if written:
                tally(events, settings.FDIST_LINK_RATE, across_zones=written.bytes_across_zones)
            return 0.0 if len(events) >= READ_COUNT else GATHER_SECONDS
        recorder.follow(cell, at, last_of(scheduler.stream_bounds()))
        return 0.0  # it blocked in Redis already


def last_of(bounds: tuple[str, str] | None) -> str:
    """The end of the stream; the beginning for one that does not exist."""
    return bounds[1] if bounds and bounds[1] else recorder.BEGINNING


class Reaper:
    """What time alone makes happen: leases that expire, nodes that are silent, matches that a bounded search missed."""

    name = "reaper"

    def __init__(self, links: Links) -> None:
        self.links = links

    def step(self) -> float:
        reply = self.links.scheduler.reap()
        if reply.expired or reply.died or reply.moved:
            logger.info(
                "reaped expired=%d died=%s buried=%d matched=%d moved=%s",
                reply.expired,
                ",".join(reply.died),
                reply.buried,
                reply.matched,
                ",".join(reply.moved),
            )
        return 0.0 if reply.more else REAP_SECONDS


def make_herald(links: Links) -> Herald:
    return Herald(links, Allowed(http=settings.FDIST_WEBHOOK_HTTP, private=settings.FDIST_WEBHOOK_PRIVATE))


def make_watcher(links: Links) -> Watcher:
    return Watcher(links, settings.FDIST_STALLED_SECONDS)


def make_registrar(links: Links) -> Registrar:
    policy = settings.FDIST_IDENTITY
    return Registrar(links, Verifier(policy, links.cell) if policy else None)


PARTS: dict[str, Callable[[Links], Part]] = {
    "recorder": Recorder,
    "planner": Planner,
    "reaper": Reaper,
    "sampler": Sampler,
    "watcher": make_watcher,
    "herald": make_herald,
    "pruner": Pruner,
    "standing": StandingKeeper,
    "registrar": make_registrar,
}


def run(names: Sequence[str], make_links: Callable[[], Links], stop: threading.Event) -> None:
    """Runs the parts in threads until `stop` is set. Each has connections of its own: the recorder's read blocks."""
    loops = []
    for name in names:
        links = make_links()
        loops.append(Loop(PARTS[name](links), Leader(links.redis, links.cell, name), stop))
    for loop in loops:
        loop.start()
    while not stop.wait(1.0):
        if dead := [loop.name for loop in loops if not loop.is_alive()]:
            logger.error("ended by itself: %s", ", ".join(dead))
            stop.set()
    for loop in loops:
        loop.join(timeout=10)
