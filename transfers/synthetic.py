"""A record as it looks after months of work, made up: to measure pages, lists and queries on.

The same seed gives the same record. Jobs are planned and recorded by the code that records real ones; what happened to
them after that is written in bulk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F

from nodes.models import Node, NodeState
from transfers.bulk import insert
from transfers.models import Job, JobEvent, JobEventKind, JobNode, JobNodeState, JobState, Shard, Transfer
from transfers.planning import JobRequest, Listing, NodeFacts, SourceObject, parse_source, plan_job
from transfers.submission import record

BATCH = 5000
DISK = 4 * 10**12
SHARD_SIZE = 64 * 2**20
SHARDS_A_FILE = 8
TRANSFERS_IN_PARALLEL = 40
FAILED = 0.01  # of the transfers
FAILURES = (("failed", "stalled"), ("failed", "refused"), ("expired", ""), ("corrupt", "digest"))
ENDS = (JobState.COMPLETE,) * 17 + (JobState.FAILED, JobState.CANCELLED, JobState.CANCELLED)
JOB_EVERY = timedelta(hours=3)
SOME_CRC = 0x5EED


EVENT_FIELDS = ("job", "at", "kind", "node", "state", "why")


class Moved(NamedTuple):
    """A row of Transfer."""

    job: UUID
    node: int
    source: int | None
    shard: int
    outcome: str
    why: str
    bytes: int
    milliseconds: int
    ended_at: datetime


@dataclass(frozen=True)
class Sizes:
    """How much of everything. The newest job still runs and is for all nodes, with a tenth of the transfers."""

    nodes: int = 1000
    jobs: int = 200
    transfers: int = 1_000_000

    def shape(self, job: int) -> tuple[int, int]:
        """Nodes and shards of a job; 0 is the newest."""
        if job == 0:
            return self.nodes, max(1, self.transfers // 10 // self.nodes)
        each = max(4, self.transfers * 9 // 10 // max(1, self.jobs - 1))
        nodes = max(2, min(self.nodes, round((2 * each) ** 0.5)))
        return nodes, max(1, each // nodes)


def fill(cell: str, sizes: Sizes, seed: int, now: datetime, said: Callable[[str], None] = lambda line: None) -> None:
    """Adds nodes, jobs and their history to the record; tells `said` how far it is.

    Cost: a million transfers take one or two minutes. Each job is written whole or not at all.
    """
    random = Random(seed)  # noqa: S311  (repeatable, not secret)
    nodes = _nodes(cell, sizes.nodes, random, now)
    said(f"{len(nodes):,} nodes")
    written = 0
    for number in reversed(range(sizes.jobs)):
        count, shards = sizes.shape(number)
        chosen = nodes if count == len(nodes) else random.sample(nodes, count)
        with transaction.atomic():
            job = _job(cell, number, chosen, shards, now - number * JOB_EVERY)
            written += _History(job, chosen, random, running=number == 0).write()
        if number % 20 == 0:
            said(f"{sizes.jobs - number:,} jobs, {written:,} transfers")


def _nodes(cell: str, count: int, random: Random, now: datetime) -> list[Node]:
    names = [f"synthetic-{number:05d}" for number in range(count)]
    rows = [
        Node(
            cell=cell,
            name=name,
            state=NodeState.DEAD if random.random() < 0.02 else NodeState.LIVE,
            address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:7000",
            labels={"zone": f"zone-{number % 3}", "kind": random.choice(["h100", "a100"])},
            epoch=1,
            disk_total=DISK,
            disk_free=DISK - random.randrange(DISK // 2),
            upload_slots=2,
            download_slots=2,
            gcs_slots=1,
            version="0.1.0",
            first_seen=now - timedelta(days=30),
            last_seen=now,
        )
        for number, name in enumerate(names)
    ]
    Node.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
    return list(Node.objects.filter(cell=cell, name__in=names).order_by("name"))


def _job(cell: str, number: int, nodes: Sequence[Node], shards: int, made: datetime) -> Job:
    """A job as it is when it was just submitted."""
    source = f"gs://synthetic/model-{number:04d}/"
    objects = [
        SourceObject(
            "synthetic",
            f"model-{number:04d}/part-{index:05d}.safetensors",
            generation=1,
            size=min(SHARDS_A_FILE, shards - index * SHARDS_A_FILE) * SHARD_SIZE,
            crc32c=index,
        )
        for index in range(-(-shards // SHARDS_A_FILE))
    ]
    request = JobRequest.from_dict(
        {
            "source": source,
            "name": f"model {number}" if number % 3 else "",
            "topology": "pipeline" if number % 4 == 1 else "mesh",
            "nodes": {"names": [node.name for node in nodes]},
            "shard_size": SHARD_SIZE,
        }
    )
    facts = [NodeFacts(node.name) for node in nodes]
    job = record(plan_job(request, Listing(parse_source(source), objects), facts), cell)
    job.created_at = job.started_at = made
    return job


class _History:
    """What happened to one job, from its record on."""

    def __init__(self, job: Job, nodes: Sequence[Node], random: Random, *, running: bool) -> None:
        self.job = job
        self.nodes = nodes
        self.random = random
        self.state = JobState.RUNNING if running else random.choice(ENDS)
        self.part_done = 0.8 if self.state not in (JobState.COMPLETE, JobState.RUNNING) else 1.0
        self.ended = self.job.created_at

    def write(self) -> int:
        """The number of transfers that were written."""
        rows = list(self._transfers())
        insert(Transfer, Moved._fields, rows)
        Shard.objects.filter(job=self.job).update(crc32c=F("index") + SOME_CRC)
        self._progress(rows)
        insert(JobEvent, EVENT_FIELDS, self._events())
        self._end()
        return len(rows)

    def _transfers(self) -> Iterator[Moved]:
        """Shard by shard: the first node reads the bucket, the others read from one that has it."""
        step = timedelta(milliseconds=400) / TRANSFERS_IN_PARALLEL
        at = self.job.created_at
        for shard in range(int(self.job.shard_count * self.part_done)):
            order = self.random.sample(self.nodes, len(self.nodes))
            for place, node in enumerate(order):
                at += step
                source = order[self.random.randrange(place)] if place else None
                if self.random.random() < FAILED:
                    outcome, why = self.random.choice(FAILURES)
                    yield self._transfer(node, source, shard, outcome, why, at)
                yield self._transfer(node, source, shard, "done", "", at)
        self.ended = at

    def _transfer(self, node: Node, source: Node | None, shard: int, outcome: str, why: str, at: datetime) -> Moved:
        moved = SHARD_SIZE if outcome == "done" else self.random.randrange(SHARD_SIZE)
        took = self.random.randrange(200, 900)
        return Moved(self.job.pk, node.pk, source.pk if source else None, shard, outcome, why, moved, took, at)

    def _progress(self, transfers: Sequence[Moved]) -> None:
        """What the recorder would have added up, node by node."""
        sums = Counter[tuple[int, bool]]()
        failures = Counter(transfer.node for transfer in transfers if transfer.outcome != "done")
        for transfer in transfers:
            sums[transfer.node, transfer.source is None] += transfer.bytes
        done = self.state == JobState.COMPLETE
        rows = list(self.job.job_nodes.all())
        for row in rows:
            row.bytes_from_gcs = sums[row.node_id, True]
            row.bytes_from_peers = sums[row.node_id, False]
            row.failures = failures[row.node_id]
            row.shards_held = int(self.job.shard_count * self.part_done)
            row.started_at, row.enrolled_at = self.job.created_at, self.job.created_at
            row.state = JobNodeState.DONE if done else JobNodeState.MOVING
            row.finished_at = self.ended if done else None
        fields = ["bytes_from_gcs", "bytes_from_peers", "failures", "shards_held", "started_at", "enrolled_at"]
        JobNode.objects.bulk_update(rows, [*fields, "state", "finished_at"], batch_size=500)
        self.job.bytes_from_gcs = sum(row.bytes_from_gcs for row in rows)
        self.job.bytes_from_peers = sum(row.bytes_from_peers for row in rows)

    def _events(self) -> Iterator[tuple[object, ...]]:
        """See EVENT_FIELDS."""
        job, began = self.job.pk, self.job.created_at
        yield job, began, JobEventKind.STATE, None, JobState.RUNNING, ""
        for node in self.nodes:
            yield job, began, JobEventKind.ENROLLED, node.pk, "", ""
        if self.state == JobState.COMPLETE:
            for node in self.nodes:
                yield job, self.ended, JobEventKind.NODE_DONE, node.pk, "", ""
        if self.state != JobState.RUNNING:
            yield job, self.ended, JobEventKind.STATE, None, self.state, ""

    def _end(self) -> None:
        self.job.state = JobState.RUNNING
        self.job.save()
        if self.state != JobState.RUNNING:
            reason = "" if self.state == JobState.COMPLETE else "made up"
            self.job.move_to(self.state, error=reason, at=self.ended)
