"""The record refuses what cannot be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from nodes.models import Node
from transfers.errors import InvalidTransition
from transfers.models import FINAL_STATES, MOVES, Job, JobNode, JobState, Shard

pytestmark = pytest.mark.django_db
GOOD: dict[str, Any] = {"source": "gs://b/o", "size": 10, "file_count": 1, "shard_size": 5, "shard_count": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "unknown"},
        {"topology": "star"},
        {"size": 0},
        {"shard_count": 0},
        {"gcs_slots": 0},
        {"state": "complete"},
        {"state": "running", "finished_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
    ids=str,
)
def test_a_job_that_cannot_be_is_refused_by_the_database(wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(**GOOD | wrong)


def test_rows_that_are_twice_are_refused() -> None:
    job, node = Job.objects.create(**GOOD), Node.objects.create(name="a")
    JobNode.objects.create(job=job, node=node)
    Shard.objects.create(job=job, index=0, offset=0, size=5)
    for make in (
        lambda: Node.objects.create(name="a"),
        lambda: JobNode.objects.create(job=job, node=node),
        lambda: Shard.objects.create(job=job, index=0, offset=0, size=5),
        lambda: Shard.objects.create(job=job, index=1, offset=5, size=5, crc32c=2**32),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            make()
    Node.objects.create(name="a", cell="other")


@pytest.mark.parametrize("start", JobState.values)
@pytest.mark.parametrize("end", JobState.values)
def test_a_job_moves_between_states_only_as_the_table_says(start: str, end: str) -> None:
    finished = timezone.now() if start in FINAL_STATES else None
    job = Job.objects.create(**GOOD, state=start, finished_at=finished)
    if end == start or end in MOVES[start]:
        job.move_to(end)
    else:
        with pytest.raises(InvalidTransition):
            job.move_to(end)
    job.refresh_from_db()
    assert job.state == (end if end in MOVES[start] else start)
    assert (job.finished_at is not None) == (job.state in FINAL_STATES)
