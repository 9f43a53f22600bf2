"""How long a planned job would take by each topology, and what would bind it. Pure: rates in, forecasts out.

A forecast is the bound that the rates imply (`bounds`): measured rates have the losses of the way in them already.
docs/plan.md has the formulas and what they leave out. Sizes are bytes, rates bytes a second, times seconds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transfers.planning.bounds import any_method, chain_hops, mesh_rounds
from transfers.words import count, rate_text

BUCKET_QUOTA = 25e9  # 200 Gbit/s: what a project may read in a region, unless Google has raised it
PIECE = 1024 * 1024  # bytes that a node of a chain has before it passes them on
HOP_LATENCY = 0.001
STRAGGLES = 0.8  # of the median node's rate, below which the slowest node is called a straggler
SHARDS_COUNT = 0.1  # part of a mesh's time that passing on whole shards may cost before that is what binds

READERS, QUOTA, NETWORK, PEERS, SHARDS, STRAGGLER, HOPS = (
    "bucket",
    "bucket_quota",
    "network",
    "peers",
    "shards",
    "straggler",
    "hops",
)


@dataclass(frozen=True)
class NodeRates:
    """What a node takes in and sends. readers: reads from the bucket at once. measured: False where it is assumed."""

    name: str
    down: float
    up: float
    readers: int = 1
    measured: bool = False


@dataclass(frozen=True)
class Load:
    """What there is to move. readers: reads from the bucket at once, of all nodes together."""

    size: int
    shard_count: int
    shard_size: int
    readers: int


@dataclass(frozen=True)
class Forecast:
    """seconds: until the last node has it. median_seconds: until half of them have. terms: each bound by its name;
    the largest is `binds`. why: that, in a sentence with its numbers.
    """

    topology: str
    seconds: float
    median_seconds: float
    efficiency: float
    bytes_from_bucket: int
    binds: str
    why: str
    terms: Mapping[str, float]


class Forecaster:
    """nodes: in the order of a chain, at least one. reader: rate of one read from the bucket."""

    def __init__(self, load: Load, nodes: Sequence[NodeRates], reader: float, quota: float = BUCKET_QUOTA) -> None:
        self.load = load
        self.nodes = nodes
        self.reader = reader
        self.quota = quota
        self.typical = statistics.median(node.down for node in nodes)
        self.slowest = min(nodes, key=lambda node: node.down)

    def all(self) -> tuple[Forecast, ...]:
        return self.direct(), self.pipeline(), self.mesh()

    def direct(self) -> Forecast:
        """Every node reads all of it from the bucket, with its own readers: what one does without fdist."""
        size, number = self.load.size, len(self.nodes)
        alone = [size / min(node.down, self._own_rate(node)) for node in self.nodes]
        together = number * size / self.quota
        terms = _terms(
            (QUOTA, together),
            (READERS, size / min(self._own_rate(node) for node in self.nodes)),
            *self._links(),
        )
        return self._forecast("direct", terms, number * size, max(together, statistics.median(alone)))

    def pipeline(self) -> Forecast:
        """A chain: the first node reads the bucket, every other its predecessor."""
        size, number = self.load.size, len(self.nodes)
        passing = min([node.down for node in self.nodes] + [node.up for node in self.nodes[:-1]])
        terms = _terms(
            (READERS, size / self._head_rate()),
            (QUOTA, size / self.quota),
            (NETWORK, size / self.typical),
            (STRAGGLER if self._straggles(passing) else NETWORK, size / passing),
        )
        hops = chain_hops(number, PIECE, self.typical, HOP_LATENCY)
        half_way = hops * (number // 2) / max(1, number - 1)
        return self._forecast("pipeline", terms, size, max(terms.values()) + half_way, after=hops)

    def mesh(self) -> Forecast:
        """Shards from any node that has them; the bucket gives each about once."""
        load, number, readers = self.load, len(self.nodes), self._readers()
        origin = min(self.quota, readers * self.reader)
        shard_time = load.shard_size / self.typical
        rounds = mesh_rounds(load.shard_count, number, readers) * shard_time
        passing_on = rounds - (load.shard_count - 1) * shard_time
        pairs = (
            (READERS, load.size / (readers * self.reader)),
            (QUOTA, load.size / self.quota),
            (PEERS, any_method(load.size, number, origin, float("inf"), sum(node.up for node in self.nodes))),
            (SHARDS if passing_on > SHARDS_COUNT * rounds else NETWORK, rounds),
        )
        return self._forecast("mesh", _terms(*pairs, *self._links()), load.size, max(seconds for _, seconds in pairs))

    def _own_rate(self, node: NodeRates) -> float:
        return max(1, node.readers) * self.reader

    def _head_rate(self) -> float:
        return max(1, min(self.load.readers, self.nodes[0].readers)) * self.reader

    def _readers(self) -> int:
        return max(1, min(self.load.readers, sum(node.readers for node in self.nodes)))

    def _straggles(self, rate: float) -> bool:
        return rate < STRAGGLES * self.typical

    def _links(self) -> list[tuple[str, float]]:
        """What the nodes' own links ask for: that of the typical one, and of the slowest."""
        last = STRAGGLER if self._straggles(self.slowest.down) else NETWORK
        return [(NETWORK, self.load.size / self.typical), (last, self.load.size / self.slowest.down)]

    def _forecast(
        self, topology: str, terms: Mapping[str, float], bytes_out: int, median: float, after: float = 0.0
    ) -> Forecast:
        binds = max(terms, key=lambda name: terms[name])
        seconds = terms[binds] + after
        if after > terms[binds]:
            binds = HOPS
        return Forecast(
            topology=topology,
            seconds=seconds,
            median_seconds=min(median, seconds),
            efficiency=self.load.size / self.typical / seconds,
            bytes_from_bucket=bytes_out,
            binds=binds,
            why=self._why(topology, binds),
            terms={**terms, HOPS: after} if after else dict(terms),
        )

    def _why(self, topology: str, binds: str) -> str:
        if binds == READERS:
            return self._why_readers(topology)
        if binds == QUOTA:
            return f"the bucket gives all nodes together {rate_text(self.quota)} at most"
        if binds == STRAGGLER:
            return (
                f"the slowest node, {self.slowest.name}, takes {rate_text(self.slowest.down)}, "
                f"and the median node {rate_text(self.typical)}"
            )
        if binds == PEERS:
            return f"the nodes together send {rate_text(sum(node.up for node in self.nodes))}"
        if binds == SHARDS:
            return (
                f"{count(self.load.shard_count, 'shard')} are few: a shard is passed on when it is whole; cut smaller"
            )
        if binds == HOPS:
            return f"the chain is {len(self.nodes):,} nodes long, and each adds its latency"
        return f"a node's own network or disk takes {rate_text(self.typical)}"

    def _why_readers(self, topology: str) -> str:
        together = {
            "direct": min(self._own_rate(node) for node in self.nodes),
            "pipeline": self._head_rate(),
            "mesh": self._readers() * self.reader,
        }[topology]
        reads = count(round(together / self.reader), "read")
        return (
            f"{reads} at once from the bucket, at {rate_text(self.reader)} each, give {rate_text(together)}; "
            f"a node takes {rate_text(self.typical)}"
        )


def _terms(*pairs: tuple[str, float]) -> dict[str, float]:
    """Each name's largest bound."""
    found: dict[str, float] = {}
    for name, seconds in pairs:
        found[name] = max(seconds, found.get(name, 0.0))
    return found
