"""Waits until an installation is healthy: the site is ready, and as many workers as were asked for are live."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from fdist_site.cloud.tools import CloudError

LIVE = re.compile(r'^fdist_nodes\{state="live"\} ([0-9.e+]+)$', re.MULTILINE)
ANSWER = 10  # seconds for one answer


@dataclass(frozen=True)
class Health:
    """What is seen of an installation. why: the reason when there is nothing to see yet."""

    ready: bool = False
    live: int = 0
    why: str = ""

    def __str__(self) -> str:
        return self.why or f"the site is {'ready' if self.ready else 'not ready yet'}, {self.live:,} workers are live"


def look(url: str, token: str) -> Health:
    """The installation's health at this moment, asked with the token that reads metrics."""
    try:
        ready = requests.get(f"{url}/readyz", timeout=ANSWER).ok
        metrics = requests.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER)
    except requests.RequestException:
        return Health(why="the coordinator does not answer yet")
    if metrics.status_code in (401, 403):
        return Health(why="the coordinator does not take the token for metrics yet")
    found = LIVE.search(metrics.text)
    return Health(ready, int(float(found[1])) if found else 0)


def wait_healthy(
    see: Callable[[], Health], wanted: int, patience: float, say: Callable[[str], None], pause: float = 2.0
) -> None:
    """Return when the site is ready and `wanted` workers are live; raises CloudError after `patience` seconds.

    say: told each time that something has changed.
    """
    deadline, told = time.monotonic() + patience, ""
    while True:
        health = see()
        if str(health) != told:
            told = str(health)
            say(told)
        if health.ready and health.live >= wanted:
            return
        if time.monotonic() > deadline:
            raise CloudError(f"after {patience:.0f} s {health}; {wanted:,} are wanted. The machines' logs say why")
        time.sleep(pause)
