"""The events of jobs as messages, each with its id: a reader that comes back goes on after the last that it saw."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Max, QuerySet

from transfers.live.encoding import encode
from transfers.models import JobEvent

NAME = "happened"
PAGE = 1000
MOST_EVENTS = 5000


@dataclass(frozen=True)
class Happened:
    id: int
    job: uuid.UUID
    text: str


def last_event(cell: str) -> int:
    """The id of the newest event; 0 when there is none."""
    return JobEvent.objects.filter(job__cell=cell).aggregate(last=Max("id"))["last"] or 0


def events_since(cell: str, after: int) -> list[Happened]:
    """What came after the event `after`, oldest first; the first MOST_EVENTS of very many."""
    found: list[Happened] = []
    for page in _pages(JobEvent.objects.filter(job__cell=cell), after):
        found += page
        if len(found) >= MOST_EVENTS:
            break
    return found


def events_between(cell: str, job: uuid.UUID | None, after: int, last: int) -> Iterator[str]:
    """Messages of a job's events, or of all jobs', after one up to another, in pieces of some hundred kB at most."""
    rows = JobEvent.objects.filter(job__cell=cell, id__lte=last)
    if job is not None:
        rows = rows.filter(job=job)
    for page in _pages(rows, after):
        yield "".join(event.text for event in page)


def _pages(rows: QuerySet[JobEvent], after: int) -> Iterator[list[Happened]]:
    while True:
        page = [_message(row) for row in rows.filter(id__gt=after).select_related("node").order_by("id")[:PAGE]]
        if page:
            yield page
            after = page[-1].id
        if len(page) < PAGE:
            return


def _message(row: JobEvent) -> Happened:
    data = {
        "id": row.id,
        "at": row.at.isoformat(),
        "job": str(row.job_id),
        "kind": row.kind,
        "node": row.node.name if row.node else None,
        "state": row.state,
        "why": row.why,
    }
    return Happened(row.id, row.job_id, encode(NAME, data, row.id))
