"""Files that nodes are no longer to have, ordered off them until the nodes say that they are gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from nodes.inventory import Inventory, is_job
from nodes.labels import matches
from transfers.links import Links
from transfers.models import FINAL_STATES, Job, StandingVersion
from transfers.standing.fleet import Fleet
from transfers.submission import purge_order

ORDER_AGAIN_SECONDS = 10.0


class Leftovers:
    """clock: monotonic seconds."""

    def __init__(self, links: Links, clock: Callable[[], float]) -> None:
        self._links = links
        self._clock = clock
        self._ordered: dict[tuple[str, str], float] = {}

    def clear(self, fleet: Fleet) -> int:
        """Orders what is due; gives how many orders. Raises RedisError."""
        jobs = {job for told in fleet.inventories.values() for job in told.jobs if is_job(job)}
        ids = [UUID(hex=job) for job in jobs]
        ended = Job.objects.filter(id__in=ids, state__in=FINAL_STATES).values_list("id", "purged_at")
        purged = {pk.hex: at for pk, at in ended if at is not None}
        found = StandingVersion.objects.filter(job__in=ids).select_related("standing").only("job", "standing__selector")
        versions = {version.job_id.hex: version for version in found}
        wrong: dict[tuple[str, str], dict[str, object]] = {}
        for name, told in fleet.inventories.items():
            member = fleet.members.get(name)
            if member is None or not member.up:
                continue
            for job in told.jobs:
                version = versions.get(job)
                if version and not matches(version.standing.selector, name, member.labels):
                    wrong[name, job] = {}
                elif job in purged and _is_later(told, purged[job]) and not (version and _is_linked(told, job)):
                    wrong[name, job] = {"unless_linked": True} if version else {}
        now = self._clock()
        self._ordered = {key: at for key, at in self._ordered.items() if key in wrong}
        due = [key for key in sorted(wrong) if now - self._ordered.get(key, float("-inf")) >= ORDER_AGAIN_SECONDS]
        for key in due:
            name, job = key
            self._links.scheduler.order(name, {**purge_order(job, name), **wrong[key]})
            self._ordered[key] = now
        return len(due)


def _is_linked(told: Inventory, job: str) -> bool:
    """Whether a link of the node names the job's files: it is used there until the link has moved on."""
    return any(linked.job == job for linked in told.links.values())


def _is_later(told: Inventory, at: datetime) -> bool:
    return datetime.fromtimestamp(told.at / 1000, UTC) > at
