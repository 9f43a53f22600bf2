"""Tells webhooks what becomes of jobs. Messages are rows: a coordinator that ends leaves them to the next."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from transfers.links import Links
from transfers.models import WebhookDelivery
from transfers.webhooks import outbox
from transfers.webhooks.address import Allowed
from transfers.webhooks.sending import send

logger = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
CLEAR_SECONDS = 3600.0
SENDERS = 8
AT_ONCE = 2  # messages to one webhook: a slow one leaves senders for the others
CLAIM = timedelta(seconds=60)  # longer than a try can take; after a crash a message is sent again then


class Herald:
    name = "herald"

    def __init__(self, links: Links, allowed: Allowed | None = None) -> None:
        self.links = links
        self.allowed = allowed or Allowed()
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="fdist-webhook")
        self._flying: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._cleared = float("-inf")

    def step(self) -> float:
        outbox.fill(self.links.cell)
        with self._lock:
            busy = [webhook for webhook, count in self._flying.items() if count >= AT_ONCE]
            free = SENDERS - self._flying.total()
        for delivery in outbox.claim(self.links.cell, busy, free, timezone.now() + CLAIM) if free else ():
            with self._lock:
                self._flying[delivery.webhook_id] += 1
            self._senders.submit(self._send, delivery).add_done_callback(self._look)
        if time.monotonic() - self._cleared > CLEAR_SECONDS:
            outbox.clear()
            self._cleared = time.monotonic()
        return ROUND_SECONDS

    def _send(self, delivery: WebhookDelivery) -> None:
        try:
            send(delivery, self.allowed)
        finally:
            connection.close()  # this thread's
            with self._lock:
                self._flying[delivery.webhook_id] -= 1

    @staticmethod
    def _look(sent: Future[None]) -> None:
        if (error := sent.exception()) is not None:  # it stays claimed for a while, and is sent again
            logger.error("a message was not sent", exc_info=error)
