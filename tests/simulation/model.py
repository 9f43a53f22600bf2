"""What a simulated fleet is made of: plain values that a scenario writes down."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from transfers.scheduler.types import JobSpec, NodeInfo

SHARD_SIZE = 64 * 1024 * 1024


@dataclass(frozen=True)
class NodeSpec:
    """up, down: as a share of the reference card's rate. joins: when it starts (ms); leaves: when it says goodbye."""

    name: str
    up: float = 1.0
    down: float = 1.0
    upload_slots: int = 1
    download_slots: int = 1
    gcs_slots: int = 1
    joins: float = 0.0
    leaves: float | None = None
    slow: bool = False  # left out of the figures of the fast nodes
    zone: str = ""

    def info(self) -> NodeInfo:
        return NodeInfo(
            name=self.name,
            address=f"{self.name}:7000",
            ticket_key="k" * 32,
            labels={"zone": self.zone} if self.zone else {},
            upload_slots=self.upload_slots,
            download_slots=self.download_slots,
            gcs_slots=self.gcs_slots,
        )


@dataclass(frozen=True)
class Options:
    """How the machines behave. Times in ms; rates as a share of the reference card's.

    shard_ms: one shard at the reference rate. jitter: spread of a transfer's size, so of its time. latency: one way
    to Redis. connect_ms: from an assignment to its first byte. verify_ms: from the last byte to the report. ahead_ms:
    so long before a transfer ends its node says so and asks for the next (0: when it has ended).
    gcs_rate: of one reader. gcs_total: of all readers together. shared_card: a bucket read takes its part of the
    node's download rate, as it does in life; else it runs beside it. check_ms: how often the invariants are checked
    (0: after every event). sample_ms: how often idle slots are counted. limit_ms: when a run that
    does not end is given up (None: by its size).
    """

    shard_ms: float = 1000.0
    jitter: float = 0.02
    latency: float = 0.0
    connect_ms: float = 0.0
    verify_ms: float = 0.0
    ahead_ms: float = 0.0
    gcs_rate: float = 1.0
    gcs_total: float | None = None
    shared_card: bool = True
    heartbeat_ms: float = 5000.0
    reap_ms: float = 500.0
    stall_after_ms: float = 3000.0
    call_timeout_ms: float = 500.0
    check_ms: float | None = 10_000.0
    sample_ms: float | None = 500.0
    limit_ms: float | None = None
    trace: bool = False  # keep every transfer, for the picture

    @property
    def card(self) -> float:
        """The reference rate in bytes a millisecond."""
        return SHARD_SIZE / self.shard_ms


@dataclass(frozen=True)
class SimJob:
    """A job, who shall have it, and when it is submitted. files: the shards of each file, for whole-file checks."""

    spec: JobSpec
    nodes: tuple[str, ...]
    at: float = 0.0
    files: tuple[range, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.job

    def digest(self, shard: int) -> int:
        """The CRC-32C that stands for the right content of a shard (any fixed number does here)."""
        return zlib.crc32(b"%d" % shard, zlib.crc32(self.spec.job.encode()))


@dataclass(frozen=True)
class Scenario:
    """A fleet, its jobs and its faults. goal: of the last fast node's time to the bound."""

    name: str
    nodes: tuple[NodeSpec, ...]
    jobs: tuple[SimJob, ...]
    options: Options = Options()
    faults: Sequence[object] = ()
    goal: float | None = None
    bound_ms: Callable[[Scenario], float] | None = None


@dataclass
class Seeds:
    """Independent random streams from one seed, so that one part's use does not disturb another's."""

    seed: int
    scheduler: random.Random = field(init=False)
    sizes: random.Random = field(init=False)
    faults: random.Random = field(init=False)
    timing: random.Random = field(init=False)

    def __post_init__(self) -> None:
        for stream in ("scheduler", "sizes", "faults", "timing"):
            setattr(self, stream, random.Random(f"{self.seed}/{stream}"))


def make_job(
    nodes: Sequence[str], shards: int, *, number: int = 1, at: float = 0.0, file_shards: int = 0, **spec: object
) -> SimJob:
    """A job of `shards` equal shards for `nodes`; `spec` goes to JobSpec."""
    step = file_shards or shards
    values: dict = {"topology": "mesh", "shard_size": SHARD_SIZE, "size": shards * SHARD_SIZE} | spec
    return SimJob(
        spec=JobSpec(job=f"{number:032x}", shard_count=shards, **values),
        nodes=tuple(nodes),
        at=at,
        files=tuple(range(i, min(i + step, shards)) for i in range(0, shards, step)),
    )
