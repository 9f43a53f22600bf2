"""Bringing a job from the record into the scheduler: when it is submitted, and again when Redis lost its data."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from nodes.labels import ZONE
from nodes.signer import signer
from transfers.dataplane.digest import combine_crc32c
from transfers.errors import InvalidTransition
from transfers.links import Links
from transfers.models import Job, JobNode, JobNodeState, JobState, Topology
from transfers.scheduler.types import JobSpec

logger = logging.getLogger(__name__)


def spec_of(job: Job, zones: int = 1) -> JobSpec:
    """zones: how many its nodes are in."""
    return JobSpec(
        job=job.id.hex,
        topology=job.topology,  # type: ignore[arg-type]
        shard_count=job.shard_count,
        shard_size=job.shard_size,
        size=job.size,
        priority=job.priority,
        gcs_slots=job.gcs_slots,
        policy=job.policy,
        quorum=job.quorum,
        own_zone=job.own_zone and zones > 1,
        # What earlier tries have read counts: the scheduler begins to count anew. 1: not one more shard.
        gcs_budget=0 if job.budget_left is None else max(1, job.budget_left),
        upload_slots=job.upload_slots,
        download_slots=job.download_slots,
    )


def _start(job: Job) -> None:
    """The planner may have published it meanwhile: who submits a job and the planner's round are two processes."""
    try:
        job.move_to(JobState.RUNNING)
    except InvalidTransition:
        if job.state != JobState.RUNNING:
            raise


def document_of(job: Job, digests: Mapping[int, int]) -> str:
    """The plan as its nodes get it: with the digests of its shards as soon as those are proven."""
    if len(digests) < job.shard_count or not _proven(job, digests):
        return job.document.text
    plan = json.loads(job.document.text)
    plan["digests"] = [digests[shard] for shard in range(job.shard_count)]
    return json.dumps(plan, separators=(",", ":"))


def _proven(job: Job, digests: Mapping[int, int]) -> bool:
    """Whether the shards, laid end to end, have the sum that the bucket's own sums of the files make.

    A first reader may have got bad bytes, and the coordinator must not sign what that made. Cost: 10 us a shard.
    """
    files = list(job.files.order_by("index").values_list("crc32c", "size"))
    if any(crc32c is None for crc32c, _ in files):
        return False
    shards = job.shards.order_by("index").values_list("index", "size")
    return _sum([(digests[index], size) for index, size in shards]) == _sum([(crc or 0, size) for crc, size in files])


def _sum(parts: list[tuple[int, int]]) -> int:
    whole = 0
    for crc, size in parts:
        whole = combine_crc32c(whole, crc, size)
    return whole


def _zone(node: tuple[str, Mapping[str, str]]) -> str:
    return str(node[1].get(ZONE, ""))


def publish(job: Job, links: Links) -> list[str]:
    """Gives an open job, its known digests and its nodes to the scheduler; gives the names of the nodes.

    May be called any number of times: the scheduler keeps what it has. With the digests, nodes that hold shards prove
    and announce them, so nothing that any node holds is read from the bucket again.
    """
    scheduler = links.scheduler
    known = job.shards.exclude(crc32c=None).values_list("index", "crc32c")
    digests = {index: crc32c for index, crc32c in known if crc32c is not None}
    nodes = list(
        JobNode.objects.filter(job=job)
        .exclude(state=JobNodeState.WITHDRAWN)
        .order_by("id")  # the order of enrolment is the order of a pipeline's chain
        .values_list("node__name", "node__labels")
    )
    if job.topology == Topology.PIPELINE:
        nodes.sort(key=_zone)  # so that it crosses from zone to zone as seldom as can be
    names = [name for name, _ in nodes]
    spec = spec_of(job, len({_zone(node) for node in nodes}))
    scheduler.create_job(spec, signer().sign(document_of(job, digests)), digests)
    if job.state == JobState.PAUSED:
        scheduler.set_state(job.id.hex, "paused")
    if job.state == JobState.PLANNED:
        _start(job)  # before a node can begin, and end: its events find a job that runs
    scheduler.enrol(job.id.hex, names)
    logger.info(
        "published job=%s nodes=%d shards=%d known_digests=%d", job.id.hex, len(names), job.shard_count, len(digests)
    )
    return names
