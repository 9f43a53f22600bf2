"""What goes into the scheduler and what comes out of it: plain values, no behaviour.

Times are milliseconds of the scheduler's clock, rates are bytes a second, digests are unsigned 32-bit CRC-32C values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from transfers.scheduler.protocol import PROTOCOL

Topology = Literal["mesh", "pipeline"]
Outcome = Literal["ok", "failed", "corrupt", "cancelled", "ending"]
NodeState = Literal["live", "draining", "dead", "left"]
JobState = Literal["running", "paused", "complete", "failed", "cancelled"]

UP: tuple[NodeState, ...] = ("live", "draining")
GCS = ""  # the source of a transfer that reads from the bucket


@dataclass(frozen=True)
class NodeInfo:
    """A node as it presents itself.

    address: "host:port" of its shard server. ticket_key: the secret with which tickets for it are signed.
    """

    name: str
    address: str
    ticket_key: str
    labels: Mapping[str, str] = field(default_factory=dict)
    disk_total: int = 0
    disk_free: int = 0
    upload_slots: int = 2
    download_slots: int = 2
    gcs_slots: int = 1
    version: str = ""
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Registration:
    """epoch: number of this start of the node, sent with every later call; jobs: open jobs where it is enrolled."""

    epoch: int
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A node asks to be let in. digest: SHA-256 (hex) of the secret that it registers with; proof: a signed token."""

    node: str
    digest: str
    proof: str = field(repr=False)


@dataclass(frozen=True)
class Heartbeat:
    """progress: lease -> bytes of its shard that are here (a lease is renewed when they grew).

    rate_up, rate_down, rate_gcs: bytes a second over the last few seconds. disk_free, held_bytes: bytes.
    peer_rates: source node -> bytes a second seen from it lately, by flow.
    """

    node: str
    epoch: int
    progress: Mapping[str, int] = field(default_factory=dict)
    disk_free: int = 0
    rate_up: float = 0.0
    rate_down: float = 0.0
    rate_gcs: float = 0.0
    peer_rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class HeartbeatReply:
    """known: False tells the node to register again. jobs: open and unfinished here. cancelled: leases to drop.

    parked: the scheduler has it among those that wait. A node that thinks it waits and is told False asks again: Redis
    lost what it last said. currents: the revision of what `Scheduler.currents` gives.
    """

    known: bool
    jobs: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    orders: tuple[Mapping[str, Any], ...] = ()
    draining: bool = False
    parked: bool = False
    currents: str = ""


AWAIT_MS = 5_000  # nodes register again within two heartbeats of a loss, and announce then what they hold


@dataclass(frozen=True)
class JobSpec:
    """A job as the scheduler needs it.

    policy: "rarest-first" (default), "peers-first" (plain order), "random", "sequential".
    gcs_slots: reads from the bucket at once, for the whole job. lease_ms: how long without progress until it expires.
    upload_slots, download_slots: caps per node for this job; None means the node's own. quorum: share of the nodes with
    which it is reported ready. gcs_budget: bytes that may leave the bucket, 0 for no limit; beyond it the job fails.
    own_zone: whether nodes of a mesh take from their own zone (their label "zone") what it has.
    await_ms: the bucket is not read for a shard whose digest is known so long as some node has not told what it has.
    """

    job: str
    topology: Topology
    shard_count: int
    shard_size: int
    size: int
    priority: int = 0
    gcs_slots: int = 4
    policy: str = "rarest-first"
    reorder: bool = True
    lease_ms: int = 15_000
    upload_slots: int | None = None
    download_slots: int | None = None
    max_disputes: int = 2
    quorum: float = 1.0
    gcs_budget: int = 0
    own_zone: bool = False
    await_ms: int = AWAIT_MS


@dataclass(frozen=True)
class Assignment:
    """One transfer for one node: move `shard` of `job` here from `source`.

    source: node name, or GCS ("" means the bucket). address, ticket: of the source, None for GCS.
    digest: what the bytes must have; None when nobody knows yet. cut_through: the source may still be receiving it.
    confirm: a suspect shard that is to be read from the bucket again even if it is here. follows: the lease of
    another from this source: it is to begin when that one has brought its shard, and not at all if it does not.
    """

    lease: str
    job: str
    shard: int
    source: str
    address: str | None
    ticket: str | None
    digest: int | None
    expires: int
    cut_through: bool = False
    confirm: bool = False
    follows: str = ""


@dataclass(frozen=True)
class Report:
    """The end of a transfer, told by its receiver. crc32c: of the bytes here, if "ok". why: one word, for failures.

    "ending" comes before the end: it will be over in a moment, so both its slots can be given to the next transfer.
    bytes: moved over the network for this lease (also those of a failed try). ms: how long it took. first_ms: how long
    until its first byte came, None if none did.
    """

    lease: str
    outcome: Outcome
    crc32c: int | None = None
    bytes: int = 0
    ms: int = 0
    why: str = ""
    first_ms: int | None = None


@dataclass(frozen=True)
class NextReply:
    """See Scheduler.next. finished: jobs of which this node now holds every shard."""

    assignments: tuple[Assignment, ...] = ()
    parked: bool = False
    unsettled: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnnounceReply:
    """rejected: shards whose digest disagrees with the recorded one; the node must drop them. held: shards counted."""

    rejected: tuple[int, ...] = ()
    held: int = 0


@dataclass(frozen=True)
class DisputeReply:
    """state: "confirming" (suspect shards will be read again), or "failed" (too many disputes; the job ended)."""

    state: str
    suspects: tuple[int, ...] = ()


@dataclass(frozen=True)
class ReapReply:
    expired: int = 0
    died: tuple[str, ...] = ()
    buried: int = 0
    matched: int = 0
    moved: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class Event:
    cursor: str
    at: int
    kind: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class JobView:
    job: str
    state: JobState
    topology: Topology
    shard_count: int
    shard_size: int
    size: int
    priority: int
    gcs_slots: int
    gcs_used: int
    nodes: int
    nodes_done: int
    nodes_failed: int
    shards_held: int  # summed over nodes
    bytes_gcs: int
    bytes_peer: int
    missing: int  # shards with no live copy
    reason: str = ""
    own_zone: bool = False


@dataclass(frozen=True)
class JobNodeView:
    """state: waiting (parked), moving, ready (announced, idle), enrolled (not heard of), done, failed, dead."""

    node: str
    state: str
    held: int
    position: int | None = None  # in a pipeline's chain
    why: str = ""  # why it waits


@dataclass(frozen=True)
class LeaseView:
    """ending: its receiver said that it is nearly over, so it takes no slot any more. follows: the lease
    of another from its source that comes first; it takes none yet, and does not expire."""

    lease: str
    job: str
    shard: int
    node: str
    source: str
    started: int
    expires: int
    bytes: int
    ending: bool = False
    follows: str = ""


@dataclass(frozen=True)
class NodeView:
    name: str
    state: NodeState
    address: str
    epoch: int
    labels: Mapping[str, str]
    seen: int
    disk_total: int
    disk_free: int
    rate_up: float
    rate_down: float
    rate_gcs: float
    uploads: int
    downloads: int
    gcs_reads: int
    upload_slots: int
    download_slots: int
    gcs_slots: int
    jobs: Sequence[str] = ()
    version: str = ""
    barred: bool = False  # it sent damaged bytes and serves no more until it registers again
    slow: bool = False


@dataclass(frozen=True)
class UpTotals:
    """Sums over the nodes that are up. Rates are bytes a second, disks bytes. bucket_reads: under way."""

    rate_from_bucket: int
    rate_from_peers: int
    disk_total: int
    disk_free: int
    bucket_reads: int
