"""Bringing a job from the record into the scheduler: when it is submitted, and again when Redis lost its data."""

from __future__ import annotations

import logging

from transfers.links import Links
from transfers.models import Job, JobNode, JobNodeState, JobState
from transfers.scheduler.types import JobSpec

logger = logging.getLogger(__name__)


def spec_of(job: Job) -> JobSpec:
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
        # What earlier tries have read counts: the scheduler begins to count anew. 1: not one more shard.
        gcs_budget=0 if job.budget_left is None else max(1, job.budget_left),
        upload_slots=job.upload_slots,
        download_slots=job.download_slots,
    )


def publish(job: Job, links: Links) -> list[str]:
    """Gives an open job, its known digests and its nodes to the scheduler; gives the names of the nodes.

    May be called any number of times: the scheduler keeps what it has. With the digests, nodes that hold shards prove
    and announce them, so nothing that any node holds is read from the bucket again.
    """
    scheduler = links.scheduler
    known = job.shards.exclude(crc32c=None).values_list("index", "crc32c")
    digests = {index: crc32c for index, crc32c in known if crc32c is not None}
    scheduler.create_job(spec_of(job), job.document.text, digests)
    names = list(
        JobNode.objects.filter(job=job)
        .exclude(state=JobNodeState.WITHDRAWN)
        .order_by("id")  # the order of enrolment is the order of a pipeline's chain
        .values_list("node__name", flat=True)
    )
    if job.state == JobState.PAUSED:
        scheduler.set_state(job.id.hex, "paused")
    if job.state == JobState.PLANNED:
        job.move_to(JobState.RUNNING)  # before a node can begin, and end: its events find a job that runs
    scheduler.enrol(job.id.hex, names)
    logger.info(
        "published job=%s nodes=%d shards=%d known_digests=%d", job.id.hex, len(names), job.shard_count, len(digests)
    )
    return names
