"""How long something takes on a machine that may be busy with something else."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIES = 8


def quickest(act: Callable[[int], object], enough: float) -> float:
    """Seconds of the quickest of some tries, act(0), act(1) and so on; none follows one that took less than `enough`.

    A busy machine holds up one try or another. Code that waits for what it should not wait for is late in every one.
    """
    least = float("inf")
    for number in range(TRIES):
        began = time.monotonic()
        act(number)
        least = min(least, time.monotonic() - began)
        if least < enough:
            break
    return least
