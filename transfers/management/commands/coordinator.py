"""Runs the coordinator's loops."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from transfers.coordinator.parts import PARTS, run
from transfers.exposition import MetricsServer
from transfers.links import Links
from transfers.management.arguments import FdistCommand
from transfers.metrics import counts

logger = logging.getLogger(__name__)


class Command(FdistCommand):
    help = """Run the coordinator: the loops beside the web server that keep jobs going.

  recorder   writes what the scheduler reports into the database
  planner    enrols nodes that come later, wakes nodes that are quiet, gives a Redis that lost its data its jobs back
  reaper     ends transfers that stalled, declares silent nodes dead, every half second
  sampler    notes how fast open jobs move, for the charts of the pages
  watcher    notices jobs that run and get nowhere
  herald     tells webhooks what becomes of jobs
  registrar  lets nodes in that ask by the identity of their machine
  pruner     deletes history that is older or longer than FDIST_HISTORY_DAYS and FDIST_HISTORY_ROWS allow

By default all of them run, in threads of this process. Two coordinators may run for availability: one of each part
works, the other stands by and takes over within seconds. SIGTERM ends it cleanly; jobs go on without a coordinator for
as long as nothing fails."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--part", action="append", choices=sorted(PARTS), help="only this part; may be given several times"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        parts = options["part"] or list(PARTS)
        logger.info("coordinator cell=%s parts=%s", settings.FDIST_CELL, ",".join(parts))
        server = self._metrics()
        run(parts, make_links, stop)
        if server is not None:
            server.close()
        logger.info("coordinator ended cell=%s", settings.FDIST_CELL)

    def _metrics(self) -> MetricsServer | None:
        if settings.FDIST_METRICS is None:
            return None
        host, port, token = settings.FDIST_METRICS.host, settings.FDIST_METRICS.port, settings.FDIST_METRICS.token
        try:
            server = MetricsServer(host, port, token, counts.REGISTRY)
        except OSError as error:
            raise CommandError(
                f"FDIST_METRICS_LISTEN: cannot listen on {host} port {port}: {error.strerror}"
            ) from error
        server.start()
        logger.info("metrics host=%s port=%d", host, server.port)
        return server


def make_links() -> Links:
    return Links(
        settings.REDIS_URL,
        settings.FDIST_BROKER_URL,
        settings.FDIST_CELL,
        settings.GCS_PROJECT,
        settings.FDIST_REDIS_LOGIN,
    )
