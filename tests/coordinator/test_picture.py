"""A job at one moment, as pages and the terminal show it."""

from __future__ import annotations

import pytest

from tests.site_fixtures import Fleet, crc_of, fold
from transfers import submission
from transfers.links import Links
from transfers.live import read_picture
from transfers.live.picture import full_bitmap
from transfers.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(fleet: Fleet, payload: str) -> Job:
    fleet.add("gpu-01", "gpu-02", "gpu-03")
    return submission.submit({"source": payload})


def test_every_bitmap_is_in_the_first_picture(job: Job, fleet: Fleet, links: Links) -> None:
    fleet.scheduler.announce(job.id.hex, "gpu-01", fleet.epochs["gpu-01"], {0: crc_of(0), 3: crc_of(3)})
    picture = read_picture(links, job.pk)
    assert picture.bits == {"gpu-01": b"\x90", "gpu-02": b"", "gpu-03": b""}
    assert picture.unmapped == 0


def test_many_bitmaps_are_read_at_once_and_strangers_are_left_out(job: Job, fleet: Fleet, links: Links) -> None:
    fleet.scheduler.announce(job.id.hex, "gpu-02", fleet.epochs["gpu-02"], {1: crc_of(1)})
    found = links.scheduler.held_by(job.id.hex, ["gpu-02", "nobody", "gpu-01"])
    assert found == {"gpu-02": links.scheduler.held(job.id.hex, "gpu-02"), "gpu-01": b""}
    assert links.scheduler.held_by(job.id.hex, []) == {}


def test_why_a_node_failed_is_shown_while_the_job_goes_on(job: Job, fleet: Fleet, links: Links) -> None:
    fleet.scheduler.finish(job.id.hex, "gpu-01", fleet.epochs["gpu-01"], "the disk is full")
    fold(links)
    picture = read_picture(links, job.pk)
    assert picture.state == "running"
    assert (picture.nodes["gpu-01"].state, picture.nodes["gpu-01"].why) == ("failed", "the disk is full")


def test_nodes_of_a_job_that_ended_neither_move_nor_wait(job: Job, fleet: Fleet, links: Links) -> None:
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex, turns=1)
    submission.cancel(job)
    assert {node.state for node in read_picture(links, job.pk).nodes.values()} == {"stopped"}
    links.scheduler.forget(job.id.hex)
    assert {node.state for node in read_picture(links, job.pk).nodes.values()} == {"stopped"}


def test_what_the_record_does_not_know_is_not_drawn_as_missing(job: Job, links: Links) -> None:
    submission.cancel(job)
    links.scheduler.forget(job.id.hex)
    job.job_nodes.filter(node__name="gpu-01").update(shards_held=2)
    job.job_nodes.filter(node__name="gpu-02").update(state="done", shards_held=job.shard_count)
    picture = read_picture(links, job.pk)
    assert picture.bits == {"gpu-02": full_bitmap(job.shard_count), "gpu-03": b""}
    assert picture.unmapped == 1
