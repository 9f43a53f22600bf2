"""The fleet as standing distributions look at it: the recorded nodes, and what each says that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nodes import inventory
from nodes.inventory import Inventory
from nodes.labels import matches
from nodes.models import Node, NodeState
from transfers.links import Links

UP = (NodeState.LIVE, NodeState.DRAINING)


@dataclass(frozen=True)
class Member:
    """A recorded node."""

    pk: int
    name: str
    state: str
    labels: Mapping[str, str]

    @property
    def up(self) -> bool:
        return self.state in UP


@dataclass(frozen=True)
class Fleet:
    """inventories: by node, of those that have said something since Redis last lost its data."""

    members: Mapping[str, Member]
    inventories: Mapping[str, Inventory]

    @classmethod
    def read(cls, links: Links) -> Fleet:
        """Raises RedisError."""
        rows = Node.objects.filter(cell=links.cell).exclude(state__in=[NodeState.REMOVED, NodeState.LEFT])
        found = [Member(*row) for row in rows.values_list("pk", "name", "state", "labels")]
        return cls({each.name: each for each in found}, inventory.read_all(links.redis, links.cell))

    def pick(self, selector: Mapping[str, object]) -> Picked:
        """The nodes by what a selector says of them."""
        chosen = {name for name, each in self.members.items() if matches(selector, name, each.labels)}
        up = {name for name, each in self.members.items() if each.up}
        live = {name for name in chosen if self.members[name].state == NodeState.LIVE}
        return Picked(frozenset(chosen), frozenset(live), frozenset(chosen & up), frozenset(up - chosen))


@dataclass(frozen=True)
class Picked:
    """chosen: all that match, also those that are down. live: that are up and take work. up: also those that drain.

    others: that are up and do not match.
    """

    chosen: frozenset[str]
    live: frozenset[str]
    up: frozenset[str]
    others: frozenset[str]
