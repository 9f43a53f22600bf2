"""Deletes history that is kept no longer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from transfers.links import Links
from transfers.metrics import counts
from transfers.retention import Keep, excess, prune, tables

logger = logging.getLogger(__name__)

BATCH = 2000  # rows a transaction: some 20 ms of SQLite's one write lock
BETWEEN_SECONDS = 0.1  # the recorder's turn
REST_SECONDS = 60.0
COUNT_SECONDS = 600.0


class Pruner:
    """A batch of each table a step, so that nobody waits for it; see transfers.retention."""

    name = "pruner"

    def __init__(
        self,
        links: Links,
        keep: Keep | None = None,
        now: Callable[[], datetime] = timezone.now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keep = keep or kept_by_settings()
        self.now = now
        self.clock = clock
        self.counted = float("-inf")
        self.up_to: dict[str, int] = {}  # table -> the id up to which rows are too many

    def step(self) -> float:
        before = self.now() - self.keep.age if self.keep.age else None
        self._count()
        full = False
        for model, at, table in tables():
            gone = prune(model, at, before, self.up_to.get(table, 0), BATCH)
            counts.PRUNED.labels(table.replace(" ", "_")).inc(gone)
            if gone:
                logger.debug("pruned table=%s rows=%d", table.replace(" ", "_"), gone)
            full = full or gone == BATCH
        return BETWEEN_SECONDS if full else REST_SECONDS

    def _count(self) -> None:
        """Where the rows that are too many end; now and then, since it walks along an index."""
        if self.keep.rows is None or self.clock() - self.counted < COUNT_SECONDS:
            return
        self.counted = self.clock()
        self.up_to = {table: excess(model, self.keep.rows) for model, _, table in tables()}


def kept_by_settings() -> Keep:
    """0 in a setting means without end."""
    days, rows = settings.FDIST_HISTORY_DAYS, settings.FDIST_HISTORY_ROWS
    return Keep(timedelta(days=days) if days else None, rows or None)
