"""Who may ask for bytes now: a few transfers flow, and the next one asks as one of them comes to its end.

An assignment is here before it can flow, so neither the scheduler's answer nor the source's is waited for by the link.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nodes.agent.transfer import Transfer

PATIENCE = 3.0  # seconds that an assignment waits for its turn; its lease lives for longer, without a byte
MOST_LEAD = 0.25  # seconds before the end of one transfer at which the next may ask
FIRST_LEAD = 0.02
WEIGHT = 0.25  # of the newest answer in what is expected of the next


class Turns:
    """`slots` are those that the scheduler fills; all but one of them flow at once, the last is the look-ahead."""

    def __init__(self, slots: int) -> None:
        self._changed = threading.Condition()
        self._flowing = max(slots - 1, 1)
        self._free: list[Transfer | None] = [None] * self._flowing  # by whom each was left; the last left is last
        self._queue: list[Transfer] = []
        self._asking: list[Transfer] = []  # without an answer yet
        self._surplus = 0  # transfers that flow without a turn, because they had waited for too long
        self._lead = FIRST_LEAD

    def set_slots(self, slots: int) -> None:
        """From now on so many; where there are fewer, those that flow too many go on to their ends."""
        with self._changed:
            more = max(slots - 1, 1) - self._flowing
            self._flowing += more
            for _ in range(more):
                if self._surplus:
                    self._surplus -= 1
                else:
                    self._free.insert(0, None)
            for _ in range(-more):
                if self._free:
                    self._free.pop(0)
                else:
                    self._surplus += 1
            self._changed.notify_all()

    def queue(self, transfer: Transfer) -> None:
        """Stand in line: turns go in the order in which the scheduler gave the transfers."""
        with self._changed:
            self._queue.append(transfer)

    def take(self, transfer: Transfer) -> None:
        """Wait for the turn of `transfer`, or until it is stopped. Whose turn it was is its `follows`."""
        give_up = time.monotonic() + PATIENCE
        with self._changed:
            if transfer not in self._queue:
                self._queue.append(transfer)
            while not (self._free and self._queue[0] is transfer) and not transfer.stopped():
                now = time.monotonic()
                if now >= give_up or (self._queue[0] is transfer and self._is_kept_waiting(now)):
                    break
                self._changed.wait(min(give_up - now, self._lead * 2))
            if self._free and self._queue[0] is transfer:
                transfer.follows = self._free.pop()
            else:
                self._surplus += 1
            self._queue.remove(transfer)
            self._changed.notify_all()
            transfer.asked = time.monotonic()
            transfer.left_at = None
            self._asking = [each for each in self._asking if each.first_byte is None] + [transfer]

    def _is_kept_waiting(self, now: float) -> bool:
        """Whether some transfer has asked and gets no answer: the link has room while its source is busy."""
        for each in self._asking:
            if each.asked and each.first_byte is None and each.left_at is None and now - each.asked > 2 * self._lead:
                self._asking.remove(each)
                return True
        return False

    def leave(self, transfer: Transfer) -> None:
        """The next one may ask. Does nothing for a transfer that has left its turn already."""
        with self._changed:
            if transfer in self._queue:
                self._queue.remove(transfer)
                self._changed.notify_all()
            if transfer.asked is None or transfer.left_at is not None:
                return
            transfer.left_at = time.monotonic()
            if self._surplus:
                self._surplus -= 1
            else:
                self._free.append(transfer)
                self._changed.notify_all()

    def counter(self, transfer: Transfer, length: int) -> Callable[[int], None]:
        """To be told of every amount that has come of a transfer of `length` bytes; leaves its turn in time."""

        def count(_amount: int) -> None:
            if transfer.left_at is not None or transfer.first_byte is None or transfer.asked is None:
                return
            now = time.monotonic()
            if transfer.answered is None:
                transfer.answered = transfer.moved
                answer = min(max(now - transfer.asked, 0.0), MOST_LEAD)
                self._lead += WEIGHT * (answer - self._lead)
            # What came first came at no rate at all: it had been on its way already.
            flowing, flowed = now - transfer.first_byte, transfer.moved - transfer.answered
            left = length - transfer.received
            if not left or (flowed and left * flowing <= self._lead * flowed):
                self.leave(transfer)

        return count
