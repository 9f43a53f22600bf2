"""What people do to jobs: submit, pause, resume, cancel, purge, pin. The one way in for API, commands, admin and demo.

The record comes first. If Redis cannot be reached at that moment the change is in the record all the same, and the
coordinator's planner brings it to the scheduler as soon as it can.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import redis
from django.db import transaction
from django.utils import timezone

from nodes import inventory
from nodes.mirror import mirror_nodes
from nodes.models import Node
from nodes.signer import signer
from transfers.errors import InvalidTransition, NoSuchJob, PlanError
from transfers.links import Links, get_links
from transfers.models import Job, JobDocument, JobFile, JobNode, JobState, Shard, Standing, StandingVersion
from transfers.planning import JobPlan, JobRequest, Listing, NodeFacts, parse_source, plan_job
from transfers.planning.budget import parse_budget
from transfers.publishing import publish
from transfers.repeats import Stamp, save_stamped
from transfers.standing.request import lies_within

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

logger = logging.getLogger(__name__)
BATCH = 1000


def submit(
    request: Mapping[str, Any],
    user: User | AnonymousUser | None = None,
    links: Links | None = None,
    stamp: Stamp | None = None,
) -> Job:
    """Plans a job, records it, gives it to the scheduler and wakes its nodes.

    request: plain values, see planning.JobRequest. stamp: by which the same request is recognised when it comes again.
    Raises PlanError that names the field, SourceBusy when the bucket cannot be asked, Repeated when the stamp is that
    of a job.
    """
    links = links or get_links()
    plan = plan_job(*what_is_there(request, links))
    check_place(plan.destination, links.cell)
    job = record(plan, links.cell, user, stamp)
    logger.info(
        "submitted job=%s source=%s topology=%s size=%d shards=%d",
        job.id.hex,
        job.source,
        job.topology,
        job.size,
        job.shard_count,
    )
    try:
        links.nudge(job.id.hex, publish(job, links))
    except redis.RedisError as error:
        logger.warning("not published yet job=%s error=%s", job.id.hex, error)
    return job


def what_is_there(request: Mapping[str, Any], links: Links) -> tuple[JobRequest, Listing, list[NodeFacts]]:
    """What was asked, checked, with what the bucket holds for it and the fleet as it is: all that a plan is made of.

    Raises PlanError, SourceBusy.
    """
    from transfers.sources import list_source  # the bucket's libraries, which only who plans needs

    wanted = JobRequest.from_dict(request)
    nodes = node_facts(links)
    return wanted, list_source(links.bucket, parse_source(wanted.source)), nodes


def check_place(destination: str, cell: str) -> None:
    """Raises PlanError when files would come among the versions of a standing distribution."""
    for name, base in Standing.objects.filter(cell=cell).values_list("name", "destination"):
        if lies_within(base, destination):
            raise PlanError(
                "destination",
                f'"{destination}" is where the standing distribution {name} has its versions; take another folder',
            )


def node_facts(links: Links) -> list[NodeFacts]:
    """The fleet as it is now, by the scheduler; as it was last, by the record, when Redis cannot be reached."""
    try:
        views = links.scheduler.nodes()
    except redis.RedisError as error:
        logger.warning("planning with the recorded nodes error=%s", error)
        rows = Node.objects.filter(cell=links.cell)
        return [NodeFacts(row.name, row.state, row.labels, row.disk_free if row.disk_total else None) for row in rows]
    mirror_nodes(links.cell, views)
    told = inventory.read_all(links.redis, links.cell)
    rooms = {v.name: told[v.name].room(v.disk_free) if v.name in told else v.disk_free for v in views if v.disk_total}
    gives = {name: each.evictable for name, each in told.items()}
    return [NodeFacts(v.name, v.state, v.labels, rooms.get(v.name), gives.get(v.name, 0)) for v in views]


def record(plan: JobPlan, cell: str, user: User | AnonymousUser | None = None, stamp: Stamp | None = None) -> Job:
    """The plan as rows, all or none. Raises Repeated when a job of the user's has the stamp's key."""
    request, layout = plan.request, plan.layout
    job = Job(
        cell=cell,
        name=request.name,
        source=request.source,
        topology=request.topology,
        destination=plan.destination,
        selector=dict(request.nodes),
        priority=request.priority,
        gcs_slots=request.gcs_slots,
        policy=request.policy,
        quorum=request.quorum,
        own_zone=request.own_zone,
        bucket_budget=plan.bucket_budget,
        upload_slots=request.upload_slots,
        download_slots=request.download_slots,
        size=layout.size,
        file_count=len(layout.files),
        shard_size=layout.shard_size,
        shard_count=layout.shard_count,
        created_by=user if user is not None and user.is_authenticated else None,
        request_key=stamp.key if stamp else "",
        request_digest=stamp.digest if stamp else "",
    )
    with transaction.atomic():
        save_stamped(job)
        JobDocument.objects.create(job=job, text=plan.document(job.id.hex))
        JobFile.objects.bulk_create(_files(job, plan), batch_size=BATCH)
        Shard.objects.bulk_create(_shards(job, plan), batch_size=BATCH)
        enlist(job, plan.nodes)
    return job


def _files(job: Job, plan: JobPlan) -> Iterable[JobFile]:
    offset = 0
    for index, (file, origin) in enumerate(zip(plan.layout.files, plan.origins, strict=True)):
        yield JobFile(
            job=job,
            index=index,
            name=file.name,
            size=file.size,
            crc32c=file.crc32c,
            offset=offset,
            object=f"gs://{origin.bucket}/{origin.name}" if origin else "",
            generation=origin.generation if origin else None,
        )
        offset += file.size


def _shards(job: Job, plan: JobPlan) -> Iterable[Shard]:
    """A manifest's shards are whole objects, so their digests are known before a byte moves."""
    known = plan.layout.objects if plan.layout.cuts is not None else None
    for index in range(plan.layout.shard_count):
        offset, length = plan.layout.shard_range(index)
        yield Shard(job=job, index=index, offset=offset, size=length, crc32c=known[index].crc32c if known else None)


def enlist(job: Job, names: Iterable[str]) -> None:
    """Puts nodes on the job's list in the record; those that are on it stay as they are."""
    nodes = {node.name: node for node in Node.objects.filter(cell=job.cell, name__in=list(names))}
    JobNode.objects.bulk_create(
        [JobNode(job=job, node=nodes[name]) for name in names if name in nodes], batch_size=BATCH, ignore_conflicts=True
    )


def pause(job: Job, links: Links | None = None, reason: str = "") -> None:
    """No shard begins after this; what is under way ends. Raises InvalidTransition."""
    job.move_to(JobState.PAUSED)
    _tell(links, job, "paused", reason)


def resume(job: Job, links: Links | None = None, reason: str = "") -> None:
    """Goes on after a pause. Raises InvalidTransition."""
    if job.state == JobState.PLANNED:
        raise InvalidTransition(f"job {job.id.hex} is planned and begins by itself")
    if not job.is_open:
        raise InvalidTransition(f"job {job.id.hex} is {job.state}: retry it to go on")
    job.move_to(JobState.RUNNING)
    _tell(links, job, "running", reason)


def set_priority(job: Job, priority: int, links: Links | None = None) -> None:
    """A higher one goes first, from the next match on. Raises InvalidTransition, and the Redis error."""
    links = links or get_links()
    if not job.is_open:
        raise InvalidTransition(f"job {job.id.hex} is {job.state}: its priority means nothing any more")
    with suppress(NoSuchJob):  # it will be published with it
        links.scheduler.set_priority(job.id.hex, priority)
    Job.objects.filter(pk=job.pk).update(priority=priority)
    job.priority = priority


def set_budget(job: Job, budget: Any) -> None:
    """Bytes that may be read from the bucket, from the first try on; counts with the next retry.

    budget: see planning.budget. Raises PlanError, and InvalidTransition for an open job: the scheduler holds it to the
    budget that it began with.
    """
    if job.is_open:
        raise InvalidTransition(f"job {job.id.hex} is {job.state}: its bucket budget is changed when it has ended")
    asked = parse_budget(budget)
    job.bucket_budget = asked.of(job.size) if asked else None
    job.save(update_fields=["bucket_budget"])


def change(job: Job, changes: Mapping[str, Any], links: Links | None = None) -> None:
    """What may be changed of a job that is there; see set_priority and set_budget."""
    if "priority" in changes:
        set_priority(job, changes["priority"], links)
    if "bucket_budget" in changes:
        set_budget(job, changes["bucket_budget"])


def _tell(links: Links | None, job: Job, state: Literal["paused", "running"], reason: str) -> None:
    links = links or get_links()
    try:
        links.scheduler.set_state(job.id.hex, state, reason)
        if state == "running":
            links.nudge(job.id.hex, unfinished_nodes(job))
    except NoSuchJob:
        logger.info("the scheduler does not have it yet job=%s state=%s", job.id.hex, state)
    except redis.RedisError as error:
        logger.warning("state not published yet job=%s state=%s error=%s", job.id.hex, state, error)


def cancel(job: Job, reason: str = "", links: Links | None = None) -> None:
    """Ends a job: nodes stop at once and remove what is unfinished; finished files stay. Raises InvalidTransition."""
    links = links or get_links()
    if not job.is_open:
        raise InvalidTransition(f"job {job.id.hex} is {job.state} and cannot be cancelled")
    job.move_to(JobState.CANCELLED, error=reason)
    logger.info("cancelled job=%s reason=%s", job.id.hex, reason)
    try:
        links.scheduler.cancel(job.id.hex, reason)
    except NoSuchJob:
        logger.info("the scheduler did not have it job=%s", job.id.hex)
    except redis.RedisError as error:
        logger.warning("cancel not published yet job=%s error=%s", job.id.hex, error)


def purge(job: Job, links: Links | None = None) -> int:
    """Orders the job's files off its nodes and out of the scheduler; gives how many nodes were told.

    Raises InvalidTransition for an open job, and the Redis error when the order could not be given: do it again then.
    """
    links = links or get_links()
    if job.is_open:
        raise InvalidTransition(f"job {job.id.hex} is {job.state}: cancel it before its files are removed")
    version = StandingVersion.objects.filter(job=job, retired_at=None).select_related("standing").first()
    if version is not None:
        raise InvalidTransition(
            f"job {job.id.hex} is {version}, which nodes keep: it is removed when newer ones take its place, or with "
            f"the standing distribution {version.standing}"
        )
    names = list(JobNode.objects.filter(job=job).values_list("node__name", flat=True))
    for name in names:
        links.scheduler.order(name, purge_order(job.id.hex, name))
    links.scheduler.forget(job.id.hex)
    Job.objects.filter(pk=job.pk).update(purged_at=timezone.now(), pinned=False)
    logger.info("purged job=%s nodes=%d", job.id.hex, len(names))
    return len(names)


def purge_order(job: str, node: str) -> dict[str, str]:
    """For this node alone, which knows by the signature that it is the coordinator's."""
    return {"op": "purge", "job": job, "signature": signer().sign_purge(job, node)}


def pin(job: Job, links: Links | None = None) -> None:
    """Nodes keep the job's files, whatever needs room, until it is unpinned or purged. Raises InvalidTransition."""
    if job.purged_at is not None:
        raise InvalidTransition(f"the files of job {job.id.hex} were removed: there is nothing to pin")
    _set_pinned(job, True, links)


def unpin(job: Job, links: Links | None = None) -> None:
    """The job's files may make room again, when they are those that were wanted least lately."""
    _set_pinned(job, False, links)


def _set_pinned(job: Job, pinned: bool, links: Links | None) -> None:
    """The planner orders it again, also of nodes that come later, until each of them has it."""
    links = links or get_links()
    Job.objects.filter(pk=job.pk).update(pinned=pinned)
    job.pinned = pinned
    order = {"op": "pin" if pinned else "unpin", "job": job.id.hex}
    try:
        for name in JobNode.objects.filter(job=job).values_list("node__name", flat=True):
            links.scheduler.order(name, order)
    except redis.RedisError as error:
        logger.warning("pin not told yet job=%s pinned=%s error=%s", job.id.hex, pinned, error)


def unfinished_nodes(job: Job) -> list[str]:
    """The live nodes that still have work to do for the job, by the record."""
    return list(
        JobNode.objects.filter(job=job, state__in=["enrolled", "moving"], node__state__in=["live", "draining"])
        .order_by("id")
        .values_list("node__name", flat=True)
    )
