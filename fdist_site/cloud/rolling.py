"""A rolling upgrade: a few nodes at a time begin nothing new, are brought up to date, and take part again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from fdist_site.cloud.tools import CloudError
from transfers.client import Fdist, Node

UP = ("live", "draining")


class Fleet(Protocol):
    """What brings machines up to date: Google's instance group, or whatever runs agents elsewhere."""

    def update(self, names: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class Patience:
    """Seconds. idle: for a drained node's transfers to end, after which it is brought up to date anyway, since what it
    still sends is asked of others then; back: for a node to come back; pause: between two looks."""

    idle: float = 300.0
    back: float = 900.0
    pause: float = 2.0


def outdated(client: Fdist, release: str, prefix: str = "") -> list[Node]:
    """The nodes that are up and run something else, by name. prefix: with which the fleet's names begin."""
    found = [node for node in client.nodes() if node.state in UP and node.name.startswith(prefix)]
    return sorted((node for node in found if node.version != release), key=lambda node: node.name)


def upgrade(
    client: Fdist,
    fleet: Fleet,
    release: str,
    *,
    batch: int,
    say: Callable[[str], None],
    prefix: str = "",
    patience: Patience | None = None,
) -> int:
    """Bring every node that is up to `release`, `batch` at a time; gives how many there were.

    Nodes that were draining before stay so. Raises CloudError when a node does not come back: those after it are as
    they were, and run again it goes on where it ended.
    """
    patience = patience or Patience()
    nodes = outdated(client, release, prefix)
    for first in range(0, len(nodes), batch):
        some = nodes[first : first + batch]
        names = [node.name for node in some]
        ours = [node.name for node in some if not node.draining]
        say(f"{first + 1:,} to {first + len(some):,} of {len(nodes):,}: draining {', '.join(names)}")
        for name in ours:
            client.drain(name)
        if not _until(partial(_idle, client, names), patience.idle, patience.pause):
            say(f"after {patience.idle:.0f} s they still send; the others find what they need elsewhere")
        fleet.update(names)
        if not _until(partial(_at, client, names, release), patience.back, patience.pause):
            raise CloudError(
                f"{', '.join(names)} did not come back with {release} in {patience.back:.0f} s; they stay "
                "drained until `fdist nodes enable`"
            )
        for name in ours:
            client.enable(name)
    return len(nodes)


def _idle(client: Fdist, names: Sequence[str]) -> bool:
    """Whether none of them receives or sends anything."""
    return all(next(client.moving(node=name), None) is None for name in names)


def _at(client: Fdist, names: Sequence[str], release: str) -> bool:
    return all(node.state in UP and node.version == release for node in map(client.node, names))


def _until(condition: Callable[[], bool], seconds: float, pause: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
