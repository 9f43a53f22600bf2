"""How near a job is to what the network could carry, and what holds it back now.

The network's bound is the rate of one node's card, for each node that still needs something: no schedule brings more.
A card's rate is the best that was seen: the 95th percentile of what nodes send or receive now, kept while it falls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from transfers.scheduler.types import UP, JobView, LeaseView, NodeView
from transfers.words import count, rate_text

if TYPE_CHECKING:
    from transfers.live.picture import NodePicture

TOP = 0.95  # the rank, of all nodes' rates, of what is taken for a card's: a single wrong figure counts for nothing
NEAR = 0.8  # a node that takes this part of the bound is held back by its card
FEW_LEFT = 0.2  # where at most this part of the nodes is not done, the others wait for these
IDLE = 0.2  # this part of the nodes with nothing to do, though they need something
WHOLE = 0.5  # this part of the transfers has all its bytes, and is not yet checked and written
KEPT = 0.998  # of the best rate seen, from one look to the next: half of it after six minutes
OPEN = ("moving", "waiting", "ready", "enrolled")


@dataclass(frozen=True)
class Limit:
    """node: the rate of one card. bound: of all nodes that need something. rate: what they take now. Bytes a second.

    binds: "bucket", "NIC", "disk", "scheduler", "straggler", or "" where nothing stands out. why: a sentence.
    """

    node: float = 0.0
    bound: float = 0.0
    rate: float = 0.0
    binds: str = ""
    why: str = ""

    def to_json(self) -> list[Any]:
        return [round(self.bound), round(self.rate), self.binds, self.why]


NOTHING = Limit()


def best_rate(views: Iterable[NodeView], before: float) -> float:
    """The rate of one card, by what was seen: now, and before."""
    rates = sorted(max(view.rate_up, view.rate_down + view.rate_gcs) for view in views if view.state in UP)
    seen = rates[math.ceil(TOP * len(rates)) - 1] if rates else 0.0
    return max(seen, before * KEPT)


def judge(
    view: JobView,
    state: str,
    nodes: Mapping[str, NodePicture],
    leases: Sequence[LeaseView],
    fleet: Mapping[str, NodeView],
    rate: float,
    before: float,
) -> Limit:
    """The limit of a job now. rate: of the whole job. before: the rate of a card by the last judgement."""
    left = [node for node in nodes.values() if node.state in OPEN]
    card = best_rate((fleet[node.name] for node in nodes.values() if node.name in fleet), before)
    if state != "running" or not left:
        return Limit(card)
    binds, why = _binds(view, nodes, left, leases, fleet, card)
    return Limit(card, card * len(left), rate, binds, why)


def _binds(
    view: JobView,
    nodes: Mapping[str, NodePicture],
    left: Sequence[NodePicture],
    leases: Sequence[LeaseView],
    fleet: Mapping[str, NodeView],
    card: float,
) -> tuple[str, str]:
    """The first that is true, from what would be seen whatever else is to what is only a guess."""
    done = sum(node.state == "done" for node in nodes.values())
    if done and len(left) <= max(1, FEW_LEFT * len(nodes)):
        last = min(left, key=lambda node: (node.held, node.rate, node.name))
        return "straggler", (
            f"{count(done, 'node')} done; {last.name} is last with {100 * last.held // view.shard_count} %"
            f" and takes {rate_text(last.rate)}"
        )
    usual = median(node.rate for node in left)
    if card and usual >= NEAR * card:
        return "NIC", f"half of the nodes take at least {rate_text(usual)}, and the best rate seen is {rate_text(card)}"
    whole = sum(lease.bytes >= view.shard_size for lease in leases)
    if leases and whole >= WHOLE * len(leases):
        return "disk", f"{whole:,} of {count(len(leases), 'transfer')} have all their bytes and are being written"
    idle = sum(node.state == "waiting" for node in left)
    if view.missing and (view.gcs_used >= view.gcs_slots or idle >= IDLE * len(left)):
        return "bucket", (
            f"{count(view.missing, 'shard')} not yet out of the bucket;"
            f" {view.gcs_used} of {view.gcs_slots} reads under way"
        )
    ready = sum(node.state == "ready" for node in left)
    if ready >= IDLE * len(left):
        return "scheduler", f"{ready:,} of {count(len(left), 'node')} have nothing to do and do not wait for a source"
    return _senders(view, nodes, left, leases, fleet, idle)


def _senders(
    view: JobView,
    nodes: Mapping[str, NodePicture],
    left: Sequence[NodePicture],
    leases: Sequence[LeaseView],
    fleet: Mapping[str, NodeView],
    idle: int,
) -> tuple[str, str]:
    slow = {lease.source for lease in leases if (at := fleet.get(lease.source)) and at.slow}
    if view.topology == "pipeline" and slow:
        name = min(slow, key=lambda each: nodes[each].position or 0 if each in nodes else 0)
        return "straggler", f"{name} is slow, and every node after it gets no more than it passes on"
    if idle >= IDLE * len(left):
        return "NIC", f"{idle:,} of {count(len(left), 'node')} wait for a sender: those that have shards send already"
    return "", "transfers run below the best rate that was seen, and neither sources nor nodes are short"
