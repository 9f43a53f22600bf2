"""A picture of a run: a row for each node, a mark for each transfer, blue from peers and orange from the bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tests.simulation.ledger import Moved
from tests.simulation.world import World
from transfers.scheduler.types import GCS

WIDTH = 1600
LEFT = 80
MARKS = 60_000  # beyond this the picture shows every nth transfer


def draw(world: World, path: Path) -> None:
    """Write an SVG. Needs a run with Options.trace. A green line is the end of a node's work."""
    ends: dict[str, float] = {}
    for (_, node), at in world.ledger.done.items():
        ends[node] = max(at, ends.get(node, 0.0))
    draw_moves(world.ledger.trace, path, shard_ms=world.options.shard_ms, names=sorted(world.agents), ends=ends)


def draw_moves(
    moves: Sequence[Moved],
    path: Path,
    *,
    shard_ms: float = 1000.0,
    names: Sequence[str] = (),
    ends: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Write an SVG of transfers. A mark's height in its row is its shard's number. Times are milliseconds."""
    end = max((m.at for m in moves), default=1.0) + shard_ms
    names = names or sorted({move.node for move in moves})
    height = max(4, min(24, 1600 // max(1, len(names))))
    rows = {name: i for i, name in enumerate(names)}
    step = max(1, len(moves) // MARKS)
    scale = (WIDTH - LEFT) / end
    most = max((move.shard for move in moves), default=0) + 1
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height * len(names) + 30}" '
        f'font-family="sans-serif" font-size="{min(10, height)}">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for name, row in rows.items():
        out.append(f'<text x="2" y="{(row + 1) * height - 1}">{name}</text>')
        if name in ends:
            out.append(
                f'<rect x="{LEFT + ends[name] * scale:.1f}" y="{row * height}" width="2" height="{height}" '
                'fill="green"/>'
            )
    width = max(1.0, shard_ms * scale)
    for move in moves[::step]:
        y = rows[move.node] * height + (height - 1) * move.shard / most
        colour = "#e67e22" if move.source == GCS else "#2e6fbd"
        out.append(
            f'<rect x="{LEFT + move.at * scale:.1f}" y="{y:.1f}" width="{width:.1f}" height="1" fill="{colour}"/>'
        )
    for tenth in range(11):
        at = end * tenth / 10
        out.append(f'<text x="{LEFT + at * scale:.0f}" y="{height * len(names) + 20}">{at / 1000:.0f} s</text>')
    out.append("</svg>")
    path.write_text("\n".join(out))
