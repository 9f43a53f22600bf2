"""Lower bounds of the time that a distribution takes. Pure arithmetic: bytes, bytes a second, seconds.

Sources: docs/plan.md. F is a payload's size, B a node's rate, c a shard's size, M the number of shards, N that of
nodes, K that of readers of the bucket.
"""

from __future__ import annotations

import math


def any_method(size: int, nodes: int, origin: float, down: float, up_total: float) -> float:
    """Seconds that no method beats: max(F / R_origin, F / R_down, N * F / (R_origin + sum of R_up))."""
    return max(size / origin, size / down, nodes * size / (origin + up_total))


def mesh_rounds(shards: int, nodes: int, readers: int) -> int:
    """Shard-times of a mesh that passes a shard on when it is whole: M - 1 + ceil(log2(N / K + 1)).

    Holds for readers as fast as a node's link; slower ones are bounded by the bucket.
    """
    return shards - 1 + math.ceil(math.log2(nodes / min(readers, nodes) + 1))


def chain_hops(nodes: int, piece: int, rate: float, latency: float) -> float:
    """Seconds that the last node of a chain is behind the first, each hop forwarding every `piece` bytes."""
    return (nodes - 1) * (piece / rate + latency)
