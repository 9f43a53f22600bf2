"""Why nodes are slower than the others, each in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from transfers.scheduler.types import GCS, JobView, LeaseView, NodeView
from transfers.words import rate_text, size_text

if TYPE_CHECKING:
    from transfers.live.picture import NodePicture

SETTLED = {"done", "failed", "dead"}  # what a node may still be in a job that has ended; the others were stopped
SILENT_MS = 6000  # heartbeats come every second or two
MUCH_SLOWER = 0.5  # of the median rate


def explained(
    nodes: Mapping[str, NodePicture], view: JobView, leases: Sequence[LeaseView], fleet: Mapping[str, NodeView]
) -> dict[str, NodePicture]:
    """Nodes with why they are slower than others, for those of which nothing is said yet."""
    sources: dict[str, list[str]] = {}
    for lease in leases:
        sources.setdefault(lease.node, []).append(lease.source)
    rates = [node.rate for node in nodes.values() if node.rate]
    usual = median(rates) if rates else 0.0
    newest = max((each.seen for each in fleet.values()), default=0)

    def with_reason(name: str, node: NodePicture) -> NodePicture:
        if node.why or node.state in SETTLED:
            return node
        return replace(
            node, why=reason(node.rate, node.held, usual, view, fleet[name], sources.get(name, ()), fleet, newest)
        )

    return {name: with_reason(name, node) for name, node in nodes.items()}


def reason(
    rate: float,
    held: int,
    usual: float,
    job: JobView,
    node: NodeView,
    sources: Sequence[str],
    fleet: Mapping[str, NodeView],
    newest: int,
) -> str:
    """Empty where nothing is known. rate: bytes a second coming in; usual: the median of the nodes that move.

    sources: where its transfers come from. newest: when any node was heard of last, by the scheduler's clock.
    The first that is true is said: what explains most comes first.
    """
    if newest - node.seen > SILENT_MS:
        return f"not heard of for {(newest - node.seen) // 1000} s"
    if node.state == "draining":
        return "draining: it begins no download"
    to_come = (job.shard_count - held) * job.shard_size
    if node.disk_total and node.disk_free < min(to_come, job.size):
        return f"its disk has {size_text(node.disk_free)} free and {size_text(min(to_come, job.size))} are to come"
    if node.slow:
        return "slow: its last transfers took more than twice as long as usual"
    slow = [source for source in sources if source != GCS and source in fleet and fleet[source].slow]
    if slow and len(slow) == len(sources):
        return f"reads from {slow[0]}, which is slow"
    if node.barred:
        return "sent damaged bytes, and serves no more until its agent starts anew"
    if sources and rate < MUCH_SLOWER * usual:
        where = " from the bucket" if all(source == GCS for source in sources) else ""
        return f"takes {rate_text(rate)}{where}, the median is {rate_text(usual)}"
    return ""
