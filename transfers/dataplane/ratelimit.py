"""A cap in bit/s on the bytes that several threads move together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

_BURST_SECONDS = 0.01  # what may pass at once after a pause
_LEAST_BURST = 64 * 1024
_QUANTUM = (16 * 1024, 1024 * 1024)  # the least and the most that one step of a capped transfer should move
_CANCEL_SECONDS = 0.05  # how long a waiter goes without asking whether it was cancelled


class Limiter(Protocol):
    """What is asked before bytes move: a TokenBucket, or several of them in a row."""

    @property
    def rate_bits(self) -> int | None: ...

    @property
    def quantum(self) -> int: ...

    def take(self, amount: int, cancelled: Callable[[], bool] | None = None) -> None: ...


class TokenBucket:
    """Lets `rate_bits` bit/s through, smoothly; None or 0 lets everything through.

    Each `take` reserves its place on one line of allowed bytes and waits until time has reached it, so late wake-ups
    do not lower the rate, waiters go in the order they came, and a new rate counts at once, also for who waits.

    burst: bytes that may pass at once after a pause; by default 10 ms worth, at least 64 KiB.
    """

    def __init__(self, rate_bits: int | None = None, burst: int | None = None) -> None:
        self._changed = threading.Condition()
        self._burst = burst
        self._rate = max(rate_bits or 0, 0) / 8
        self._allowed = 0.0  # bytes that time has let through so far, in all
        self._reserved = 0.0  # bytes that callers have asked for so far, in all
        self._at = time.monotonic()
        self._unlimited = not self._rate

    @property
    def rate_bits(self) -> int | None:
        return round(self._rate * 8) or None

    @property
    def quantum(self) -> int:
        """Bytes that one step should move: about 10 ms worth, so that a capped stream flows and does not jerk."""
        if self._unlimited:
            return _QUANTUM[1]
        return int(min(max(self._rate * _BURST_SECONDS, _QUANTUM[0]), _QUANTUM[1]))

    def set_rate(self, rate_bits: int | None) -> None:
        with self._changed:
            self._advance()
            self._rate = max(rate_bits or 0, 0) / 8
            self._unlimited = not self._rate
            self._allowed = max(self._allowed, self._reserved) if self._unlimited else self._allowed
            self._changed.notify_all()

    def take(self, amount: int, cancelled: Callable[[], bool] | None = None) -> None:
        """Waits until `amount` bytes may pass, or until `cancelled` says so (asked every 50 ms)."""
        if self._unlimited:
            return
        with self._changed:
            self._advance()
            self._reserved += amount
            place = self._reserved
            while not self._unlimited and self._allowed < place:
                wait = (place - self._allowed) / self._rate
                if cancelled is not None:
                    if cancelled():
                        return
                    wait = min(wait, _CANCEL_SECONDS)
                self._changed.wait(wait)
                self._advance()

    def _advance(self) -> None:
        """Let time pass: unused allowance beyond the burst is lost."""
        now = time.monotonic()
        burst = self._burst if self._burst is not None else max(self._rate * _BURST_SECONDS, _LEAST_BURST)
        self._allowed = min(self._allowed + (now - self._at) * self._rate, self._reserved + burst)
        self._at = now
