"""Whatever happens in whatever order: no link is ever without its files, and in the end all is as it should be."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from tests.coordinator.standing_stage import LABELS, Stage
from transfers.errors import FdistError
from transfers.models import Standing
from transfers.standing import acts

pytestmark = pytest.mark.django_db
NAMES = [f"gpu-{number:02d}" for number in range(5)]
OTHER = {"model": "qwen"}
TURNS = 40
SETTLING = 14


class Story:
    """labels: of the nodes that are up."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.labels: dict[str, dict[str, str]] = {}
        self.puts = 0
        self.told: list[str] = []

    def happen(self) -> None:
        often = (self.put, self.join)
        seldom = (self.leave, self.relabel, self.lose_redis, self.lose_disk, self.fail_somewhere)
        people = (self.rollback, self.resume, self.pause)
        what = self.random.choice([*often, *often, *seldom, *people])
        self.told.append(what.__name__)
        with suppress(FdistError):  # what cannot be at this moment is refused
            what()

    def put(self) -> None:
        self.puts += 1
        self.stage.newer(f"text {self.puts}")

    def join(self) -> None:
        name = self.random.choice(NAMES)
        self.labels[name] = self.random.choice([LABELS, LABELS, OTHER])
        self.stage.nodes(name, labels=self.labels[name])

    def relabel(self) -> None:
        if self.labels:
            name = self.random.choice(sorted(self.labels))
            self.labels[name] = OTHER if self.labels[name] == LABELS else LABELS
            self.stage.nodes(name, labels=self.labels[name])

    def leave(self) -> None:
        if self.labels:
            name = self.random.choice(sorted(self.labels))
            del self.labels[name]
            self.stage.down(name)

    def lose_redis(self) -> None:
        self.stage.links.redis.flushall()
        self.stage.planner.step()
        for name, labels in self.labels.items():
            self.stage.nodes(name, labels=labels)

    def lose_disk(self) -> None:
        """A node comes back on a new machine, under its old name."""
        if self.labels:
            name = self.random.choice(sorted(self.labels))
            self.stage.down(name)
            self.stage.holds[name].clear()
            self.stage.linked.pop(name, None)
            for key in [key for key in self.stage.fleet.held if key[1] == name]:
                del self.stage.fleet.held[key]
            self.stage.nodes(name, labels=self.labels[name])

    def fail_somewhere(self) -> None:
        scheduler = self.stage.links.scheduler
        for job in scheduler.jobs():
            for row in scheduler.job_nodes(job):
                if row.state in ("enrolled", "ready") and row.node in self.labels and self.random.random() < 0.5:
                    epoch = self.stage.fleet.epochs[row.node]
                    scheduler.announce(job, row.node, epoch, {})
                    scheduler.finish(job, row.node, epoch, error="its disk was full")

    def rollback(self) -> None:
        acts.rollback(self.stage.standing())

    def resume(self) -> None:
        acts.resume(self.stage.standing())

    def pause(self) -> None:
        acts.pause(self.stage.standing())

    def check(self) -> None:
        """At every moment, for every node that is up or down."""
        for name, job in self.stage.linked.items():
            assert job in self.stage.holds[name], f"{name} points at what it has not, after {self.told}"
        wanted = self.stage.standing().wanted
        assert wanted is None or wanted.retired_at is None

    def settle(self) -> None:
        """Nothing more happens, and time passes."""
        standing = self.stage.standing()
        if standing.paused or standing.passed_over:
            acts.resume(standing)
        self.join_all()
        for _ in range(SETTLING):
            self.stage.clock.now += 600  # what failed is tried again
            self.stage.look()
            self.stage.coordinate()
            self.stage.act()
            self.check()

    def join_all(self) -> None:
        for name in NAMES:
            if name not in self.labels:
                self.labels[name] = LABELS
                self.stage.nodes(name, labels=LABELS)


@pytest.mark.parametrize("seed", range(4))
def test_all_is_right_in_the_end_and_no_link_is_ever_without_its_files(stage: Stage, seed: int) -> None:
    story = Story(stage, seed)
    stage.create(versions_kept=2, share=0.6)
    for _ in range(TURNS):
        story.happen()
        stage.coordinate()
        stage.act(move=story.random.random() < 0.7)
        story.check()
    story.settle()
    newest = Standing.objects.get().versions.order_by("-number").first()
    assert newest is not None
    chosen = {name for name, labels in story.labels.items() if labels == LABELS}
    assert stage.uses() == dict.fromkeys(chosen, newest.number), story.told
    for name in NAMES:
        if name in chosen:
            assert newest.number in stage.numbers(name) and len(stage.numbers(name)) <= 2, (name, story.told)
        else:
            assert stage.holds[name] == set() and name not in stage.linked, (name, story.told)
