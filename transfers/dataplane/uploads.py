"""How many transfers the shard server runs at once, and what it counts of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_TURN_SECONDS = 0.5  # how long a transfer waits for the end of another, so that each has the link nearly to itself
_SLOT_SECONDS = 1.0  # a reader is often told of a slot before the sender of the last bytes has noticed its end


@dataclass
class Counters:
    """What the agent reports of its shard server; all since its start but `active` and `connections`."""

    sent: int = 0
    requests: int = 0
    refused: int = 0
    broken: int = 0
    active: int = 0
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **amounts: int) -> None:
        with self.lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def as_dict(self) -> dict[str, int]:
        with self.lock:
            return {name: value for name, value in vars(self).items() if name != "lock"}


class Refusal(Exception):
    """An answer without a shard."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class UploadSlots:
    """The transfers that may run at once; a reader that finds none free waits a little and is then refused.

    The last slot is a look-ahead: who takes it waits for the end of another transfer, and its bytes follow at once.
    """

    def __init__(self, count: int, counters: Counters) -> None:
        self._changed = threading.Condition()
        self._count = count
        self._running = 0
        self._counters = counters

    def resize(self, count: int) -> None:
        with self._changed:
            self._count = count
            self._changed.notify_all()

    @contextmanager
    def taken(self, *, in_turn: bool) -> Iterator[None]:
        """in_turn: wait for another transfer's end in the last slot. Not for a shard that is itself still on its way:
        it is as fast as it comes, and what it waits for may stand behind it."""
        with self._changed:
            if in_turn:
                self._changed.wait_for(lambda: self._running < max(self._count - 1, 1), _TURN_SECONDS)
            if not self._changed.wait_for(lambda: self._running < self._count, _SLOT_SECONDS):
                raise Refusal(503, f"this node serves {self._running} transfers and may serve {self._count}")
            self._running += 1
        self._counters.add(active=1)
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()
            self._counters.add(active=-1)
