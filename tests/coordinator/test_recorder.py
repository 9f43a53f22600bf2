"""Events into the record: whole, in order, and exactly once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import redis as redis_py
from django.db import connection
from django.test.utils import CaptureQueriesContext

from nodes.models import Node
from tests.site_fixtures import Fleet, crc_of
from transfers import recorder, submission
from transfers.coordinator.parts import Recorder
from transfers.links import Links
from transfers.models import Job, JobNode, JobNodeState, JobState, StreamCursor, Transfer
from transfers.scheduler.types import Event

pytestmark = pytest.mark.django_db
MOST_STATEMENTS = 16


def catch_up(links: Links) -> None:
    """Folds until nothing is left."""
    while events := links.scheduler.events(recorder.position(links.cell), count=7):
        assert recorder.fold(links.cell, recorder.position(links.cell), events)


@pytest.fixture
def done_job(fleet: Fleet, links: Links, payload: str) -> Job:
    """A job that two nodes have completed; nothing is folded yet."""
    fleet.add("gpu-01", "gpu-02")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    assert fleet.move(job.id.hex) == 2 * job.shard_count
    return job


def test_a_completed_job_is_recorded_with_its_transfers_and_digests(done_job: Job, links: Links) -> None:
    catch_up(links)
    done_job.refresh_from_db()
    assert done_job.state == JobState.COMPLETE
    assert done_job.finished_at is not None
    count = done_job.shard_count
    assert Transfer.objects.filter(job=done_job, outcome="done").count() == 2 * count
    assert Transfer.objects.filter(job=done_job, source=None).count() == count, "each shard left the bucket once"
    assert (done_job.bytes_from_gcs, done_job.bytes_from_peers) == (1000 * count, 1000 * count)
    assert list(done_job.shards.values_list("crc32c", flat=True)) == [crc_of(shard) for shard in range(count)]
    rows = JobNode.objects.filter(job=done_job)
    assert {(row.state, row.shards_held) for row in rows} == {(JobNodeState.DONE, count)}
    assert sum(row.bytes_from_gcs for row in rows) == 1000 * count
    assert all(row.started_at and row.finished_at for row in rows)


def test_bytes_from_zone_to_zone_are_counted_apart(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01", "gpu-02", labels={"zone": "a"}).add("gpu-03", labels={"zone": "b"}).add("gpu-04")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    assert fleet.move(job.id.hex) == 4 * job.shard_count
    catch_up(links)
    job.refresh_from_db()
    zone = {"gpu-01": "a", "gpu-02": "a", "gpu-03": "b", "gpu-04": ""}
    moved = Transfer.objects.filter(job=job, outcome="done").exclude(source=None)
    pairs = [(zone[src], zone[dst]) for src, dst in moved.values_list("source__name", "node__name")]
    assert job.bytes_across_zones == 1000 * sum(src != dst and "" not in (src, dst) for src, dst in pairs) > 0


def test_a_batch_folded_twice_counts_once(done_job: Job, links: Links) -> None:
    at = recorder.position(links.cell)
    events = links.scheduler.events(at)
    assert recorder.fold(links.cell, at, events)
    assert not recorder.fold(links.cell, at, events), "the position had moved"
    assert Transfer.objects.filter(job=done_job).count() == 2 * done_job.shard_count


def test_a_crash_in_the_middle_of_a_batch_writes_nothing(
    done_job: Job, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = recorder.position(links.cell)
    events = links.scheduler.events(at)
    monkeypatch.setattr(recorder._Batch, "_job_states", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        recorder.fold(links.cell, at, events)
    assert not Transfer.objects.exists()
    assert recorder.position(links.cell) == at
    monkeypatch.undo()
    catch_up(links)
    assert Transfer.objects.filter(job=done_job).count() == 2 * done_job.shard_count


def test_failed_tries_keep_their_reason_and_their_bytes(fleet: Fleet, links: Links, payload: str) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    fields = {
        "job": job.id.hex,
        "node": "gpu-01",
        "shard": "1",
        "source": "",
        "why": "stalled",
        "bytes": "77",
        "ms": "5",
    }
    events = [
        Event("5-0", 1_000_000, "failed", {**fields, "lease": "a"}),
        Event("5-1", 1_000_001, "expired", {**fields, "lease": "b", "source": "gpu-99"}),
    ]
    at = recorder.position(links.cell)
    assert recorder.fold(links.cell, at, events)
    job.refresh_from_db()
    assert (job.bytes_from_gcs, job.bytes_from_peers) == (77, 77)
    row = JobNode.objects.get(job=job)
    assert (row.failures, row.state) == (2, JobNodeState.MOVING)
    assert set(Transfer.objects.values_list("outcome", "why")) == {("failed", "stalled"), ("expired", "stalled")}
    assert Node.objects.filter(name="gpu-99").exists(), "a node that only an event names gets a row"


def test_events_of_jobs_that_are_not_in_the_record_are_passed_over(links: Links, fleet: Fleet) -> None:
    at = recorder.position(links.cell)
    event = Event("5-0", 1, "job_state", {"job": "ab" * 16, "state": "complete"})
    assert recorder.fold(links.cell, at, [event])
    assert recorder.position(links.cell) == "5-0"


def test_a_cancelled_job_stays_cancelled_when_its_last_events_come(done_job: Job, links: Links) -> None:
    submission.cancel(done_job)
    catch_up(links)
    done_job.refresh_from_db()
    assert done_job.state == JobState.CANCELLED


def test_the_recorder_goes_on_after_the_stream_was_lost(
    done_job: Job, links: Links, fleet: Fleet, redis: redis_py.Redis
) -> None:
    catch_up(links)
    before = Transfer.objects.count()
    StreamCursor.objects.filter(cell=links.cell).update(position="99999999999999-0")  # a clock that was ahead
    redis.flushall()
    part = Recorder(links)
    part.step()
    assert recorder.position(links.cell) == recorder.BEGINNING
    fields = {
        "job": done_job.id.hex,
        "node": "gpu-01",
        "shard": "0",
        "source": "",
        "bytes": "1",
        "ms": "1",
        "lease": "x",
    }
    redis.xadd("{fdist:main}:events", {"t": "1000", "e": "done", **fields})
    part.step()
    assert Transfer.objects.count() == before + 1


def done_events(job: Job, names: list[str], count: int, **more: str) -> list[Event]:
    return [
        Event(
            f"{7 + i}-0",
            1_000_000 + i,
            "done",
            {
                "job": job.id.hex,
                "node": names[i % len(names)],
                "shard": str(i % 4),
                "source": names[(i + 1) % len(names)],
                "bytes": "9",
                **more,
            },
        )
        for i in range(count)
    ]


def statements(cell: str, events: list[Event]) -> int:
    with CaptureQueriesContext(connection) as caught:
        assert recorder.fold(cell, recorder.position(cell), events)
    return len(caught)


def test_a_batch_takes_a_handful_of_statements_however_many_shards_and_nodes_are_in_it(
    fleet: Fleet, links: Links, payload: str
) -> None:
    """What lets it keep up with thousands of shards a second; tests/bench/recorder.py says with how many."""
    names = [f"n{i:03d}" for i in range(200)]
    Node.objects.bulk_create([Node(cell=links.cell, name=name) for name in names])
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    submission.enlist(job, names)
    events = done_events(job, names, 2400)
    assert statements(links.cell, events[:10]) <= MOST_STATEMENTS
    assert statements(links.cell, events[10:]) <= MOST_STATEMENTS
    assert JobNode.objects.get(job=job, node__name="n000").bytes_from_peers == 12 * 9
    assert Transfer.objects.filter(job=job).count() == 2400


def test_when_a_shard_was_assigned_and_its_first_byte_came_is_kept_where_it_is_told(
    fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    told = done_events(job, ["gpu-01", "gpu-02"], 1, assigned="999000", first="12", ms="40")
    statements(links.cell, [*told, *done_events(job, ["gpu-03", "gpu-04"], 1)])
    first, second = Transfer.objects.order_by("id")
    assert (first.assigned_at, first.first_byte_ms) == (datetime.fromtimestamp(999, UTC), 12)
    assert (second.assigned_at, second.first_byte_ms) == (None, None)
