"""Which nodes a job is for, and whether it fits on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodes.labels import describe, matches
from transfers.errors import PlanError
from transfers.words import count, few, size_text


@dataclass(frozen=True)
class NodeFacts:
    """A node as planning sees it. disk_free: bytes that a job may have there, None when it has not told.

    evictable: how many of those are taken by finished jobs that would make room.
    """

    name: str
    state: str = "live"
    labels: Mapping[str, str] = field(default_factory=dict)
    disk_free: int | None = None
    evictable: int = 0


def choose_nodes(selector: Mapping[str, Any], nodes: Sequence[NodeFacts]) -> list[NodeFacts]:
    """The live nodes that the selector picks, by name; raises PlanError("nodes") when it cannot mean these.

    Nodes that come later and match are enrolled then, so what is not here yet is no error for "all" and for labels.
    """
    live = {node.name: node for node in nodes if node.state == "live"}
    if "names" in selector:
        return _named(selector["names"], nodes, live)
    chosen = [node for name, node in sorted(live.items()) if matches(selector, name, node.labels)]
    if chosen:
        return chosen
    if not live:
        raise PlanError("nodes", f"no node is live ({_others(nodes)}); start an agent on each server first")
    raise PlanError(
        "nodes",
        f"none of the {count(len(live), 'live node')} has {describe(selector)}; {_labels_there(list(live.values()))}",
    )


def _named(names: Sequence[str], nodes: Sequence[NodeFacts], live: Mapping[str, NodeFacts]) -> list[NodeFacts]:
    known = {node.name: node for node in nodes}
    if unknown := [name for name in names if name not in known]:
        raise PlanError(
            "nodes",
            f"no node is named {few(unknown)}; {count(len(live), 'live node')}"
            + (f": {few(sorted(live), 8)}" if live else ""),
        )
    if gone := [f"{name} is {known[name].state}" for name in names if name not in live]:
        raise PlanError("nodes", f"{few(gone)}: leave them out, or bring them back first")
    return [live[name] for name in sorted(set(names))]


def _others(nodes: Sequence[NodeFacts]) -> str:
    states = sorted({node.state for node in nodes})
    parts = [f"{sum(node.state == state for node in nodes):,} {state}" for state in states]
    return ", ".join(parts) or "none has ever registered"


def _labels_there(nodes: Sequence[NodeFacts]) -> str:
    there = sorted({f"{key}={value}" for node in nodes for key, value in node.labels.items()})
    return f"they have {few(there, 8)}" if there else "they have no labels at all"


def check_room(nodes: Sequence[NodeFacts], size: int) -> None:
    """Raises PlanError("nodes") when the payload does not fit on a node's free disk."""
    short = sorted(
        (node.disk_free, node.name) for node in nodes if node.disk_free is not None and node.disk_free < size
    )
    if not short:
        return
    free, name = short[0]
    others = f" ({few([other for _, other in short[1:]])} cannot take it either)" if len(short) > 1 else ""
    raise PlanError(
        "nodes",
        f"node {name} has {size_text(free)} free and the job needs {size_text(size)}{others}; "
        f"free some space or exclude the node{'s' if len(short) > 1 else ''}",
    )
