"""A fleet in the middle of its work, for looking at pages: real rows and a real scheduler, and no bytes moved.

Run with the environment of a site that has its tables and no coordinator (its reaper would find these nodes dead):

    python manage.py shell -c "from tests.pages.scenes import build; build(1000)"
    python manage.py shell -c "from tests.pages.scenes import build; build(1000).stir()"     to go on until Ctrl-C

With `stir`, the coordinator's parts "recorder" and "sampler" may run beside it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from nodes.models import EnrolmentKey, Node
from tests.site_fixtures import KEY, crc_of
from transfers import recorder, submission
from transfers.coordinator.reconcile import reconcile
from transfers.links import Links, get_links
from transfers.models import Job, JobNode, JobNodeState, JobState, Transfer, TransferOutcome
from transfers.planning import JobRequest, Listing, SourceObject, parse_source, plan_job
from transfers.publishing import publish
from transfers.scheduler.types import Assignment, Heartbeat, NodeInfo, Report

MIB = 1024 * 1024
TERABYTE = 10**12
PAST_JOBS = 60


class Scene:
    """One cell, seeded: the same call builds the same pages."""

    def __init__(self, count: int, links: Links) -> None:
        self.links = links
        self.random = random.Random(7)
        self.names = [f"gpu-{number:04d}.rack-{number // 40:02d}.eu-west4" for number in range(count)]
        self.epochs: dict[str, int] = {}
        self.still: set[str] = set()  # nodes that say nothing any more
        self.work: dict[str, dict[str, tuple[Assignment, int, float]]] = {}  # node -> lease -> (it, bytes, begun)

    def register(self) -> None:
        if not EnrolmentKey.objects.filter(name="scene").exists():
            EnrolmentKey.adopt("scene", KEY)
        self.links.scheduler.set_enrolment_keys(list(EnrolmentKey.objects.valid().values_list("digest", flat=True)))
        for number, name in enumerate(self.names):
            info = NodeInfo(
                name=name,
                address=f"10.0.{number // 250}.{number % 250 + 1}:7070",
                ticket_key="ab" * 16,
                labels={"zone": "abc"[number % 3], "kind": "h100"},
                disk_total=4 * TERABYTE,
                disk_free=int(self.random.uniform(1, 3) * TERABYTE),
                upload_slots=2,
                download_slots=2,
                version="0.1.0",
            )
            self.epochs[name] = self.links.scheduler.register(info, KEY).epoch
        submission.node_facts(self.links)

    def job(self, name: str, topology: str, shards: int, files: int = 12, **fields: Any) -> Job:
        size = shards * 64 * MIB - 12_345
        each = size // files
        sizes = [each] * (files - 1) + [size - each * (files - 1)]
        objects = [
            SourceObject("weights", f"{name}/model-{i:05d}-of-{files:05d}.safetensors", 1764000000000 + i, part, 77 + i)
            for i, part in enumerate(sizes)
        ]
        uri = parse_source(f"gs://weights/{name}/")
        request = {"source": str(uri), "name": name, "topology": topology, "shard_size": 64 * MIB, **fields}
        wanted = JobRequest.from_dict(request)
        return submission.record(
            plan_job(wanted, Listing(uri, objects), submission.node_facts(self.links)), self.links.cell
        )

    def publish(self, job: Job) -> None:
        publish(job, self.links)

    def hold(self, job: Job, name: str, shards: Iterable[int]) -> None:
        self.links.scheduler.announce(job.id.hex, name, self.epochs[name], {shard: crc_of(shard) for shard in shards})

    def begin(self, names: Iterable[str]) -> None:
        """Leases for nodes, as many as the scheduler gives, each some way on; what they wait for, they wait for."""
        for name in names:
            epoch = self.epochs[name]
            work = self.links.scheduler.next(name, epoch, [], want=2).assignments
            progress = {each.lease: self.random.randrange(64 * MIB) for each in work}
            self.work[name] = {each.lease: (each, progress[each.lease], time.monotonic()) for each in work}
            rate = self.random.uniform(2e8, 9e8) if work else 0.0
            self.links.scheduler.heartbeat(
                Heartbeat(name, epoch, progress=progress, disk_free=2 * TERABYTE, rate_down=rate, rate_up=rate)
            )

    def stir(self, rate: float = 0.0, damage: float = 0.002) -> None:
        """Lets the nodes go on until it is interrupted, each at about `rate` bytes a second (by default, such that it
        takes some minutes), with some of the shards damaged on their way."""
        paces = {name: self.random.uniform(0.5, 1.0) for name in self.names}
        for name in self.names[7::60]:
            paces[name] = 0.15
        mean = rate or 12e9 / max(60, len(self.names) / 4)
        last = time.monotonic()
        while True:
            now = time.monotonic()
            for name in self.names:
                if name not in self.still:
                    self._turn(name, mean * paces[name], now - last, damage)
            last = now
            time.sleep(max(0.0, 1.0 - (time.monotonic() - now)))

    def _turn(self, name: str, rate: float, seconds: float, damage: float) -> None:
        epoch, mine = self.epochs[name], self.work.setdefault(name, {})
        share = rate * seconds * self.random.uniform(0.8, 1.2) / max(1, len(mine))
        reports, progress = [], {}
        for lease, (each, amount, begun) in list(mine.items()):
            amount = min(64 * MIB, int(amount + share))
            mine[lease] = (each, amount, begun)
            if amount < 64 * MIB:
                progress[lease] = amount
                continue
            del mine[lease]
            ms = max(1, int((time.monotonic() - begun) * 1000))
            if each.source and self.random.random() < damage:
                reports.append(Report(lease, "corrupt", bytes=amount, ms=ms, why="digest"))
            else:
                reports.append(Report(lease, "ok", crc32c=crc_of(each.shard), bytes=amount, ms=ms))
        scheduler = self.links.scheduler
        reply = scheduler.next(name, epoch, reports, want=max(0, 2 - len(mine)))
        for each in (*reply.assignments, *scheduler.wait(name, 0, epoch)):
            mine[each.lease] = (each, 0, time.monotonic())
        for job in reply.finished:
            scheduler.finish(job, name, epoch)
        down = rate if mine else 0.0
        scheduler.heartbeat(
            Heartbeat(name, epoch, progress=progress, disk_free=2 * TERABYTE, rate_down=down, rate_up=down * 0.9)
        )

    def fold(self) -> None:
        while events := self.links.scheduler.events(recorder.position(self.links.cell)):
            recorder.fold(self.links.cell, recorder.position(self.links.cell), events)

    def past(self, count: int) -> None:
        """Jobs that ended, with the history of the last of them."""
        nodes = list(Node.objects.filter(cell=self.links.cell)[:50])
        for number in range(count):
            job = self.job(f"llama-{number % 7 + 1}b-{number:03d}", ("mesh", "pipeline")[number % 3 == 0], 40)
            ended = timezone.now() - timedelta(hours=3 * (count - number))
            state = (JobState.FAILED, JobState.CANCELLED, JobState.COMPLETE)[min(2, number % 9)]
            took = timedelta(seconds=self.random.uniform(20, 900))
            Job.objects.filter(pk=job.pk).update(
                state=state,
                created_at=ended - took - timedelta(seconds=2),
                started_at=ended - took,
                finished_at=ended,
                error="" if state == JobState.COMPLETE else FAULTS[state],
                bytes_from_gcs=int(job.size * 1.004),
                bytes_from_peers=int(job.size * (len(self.names) - 1)),
            )
            done = state == JobState.COMPLETE
            JobNode.objects.filter(job=job).update(
                state=JobNodeState.DONE if done else JobNodeState.MOVING, shards_held=40 if done else 17
            )
        self._history(job, nodes)

    def _history(self, job: Job, nodes: list[Node]) -> None:
        now = timezone.now()
        Transfer.objects.bulk_create(
            Transfer(
                job=job,
                node=nodes[number % len(nodes)],
                source=None if number % 11 == 0 else nodes[(number + 1) % len(nodes)],
                shard=number % 40,
                outcome=TransferOutcome.DONE if number % 13 else TransferOutcome.EXPIRED,
                why="" if number % 13 else "stalled",
                bytes=64 * MIB,
                milliseconds=self.random.randrange(90, 900),
                ended_at=now - timedelta(seconds=number),
            )
            for number in range(2000)
        )


FAULTS = {
    JobState.FAILED: "gs://weights/llama-1b/model-00003-of-00012.safetensors changed in the bucket: it was pinned at "
    "generation 1764000000003 and is gone",
    JobState.CANCELLED: "cancelled by ada in the admin",
}


def build(count: int, shards: int = 2000) -> Scene:
    """Jobs that ended, a pipeline and a mesh in the middle of their way, on `count` nodes."""
    scene = Scene(count, get_links())
    scene.register()
    scene.past(PAST_JOBS if count < 100 else 6)
    chain = scene.job("mixtral-8x22b-instruct", "pipeline", min(shards, 200), priority=5)
    scene.publish(chain)
    for place, name in enumerate(scene.names):
        scene.hold(chain, name, range(max(0, 120 - 9 * place)))
    mesh = scene.job("llama-3.1-405b-instruct-fp8-with-a-long-name-of-its-own", "mesh", shards)
    scene.publish(mesh)
    for place, name in enumerate(scene.names):
        part = 0.75 * (1 - place / count) if place % 9 else 0.02
        scene.hold(mesh, name, sorted(scene.random.sample(range(shards), int(part * shards))))
    scene.begin(scene.names)
    for name in scene.names[5::23]:
        scene.links.scheduler.leave(name)
        scene.still.add(name)
    for name in scene.names[11::31]:
        scene.links.scheduler.set_draining(name, True)
    if count > 6:
        last = scene.names[6]
        scene.links.scheduler.finish(
            mesh.id.hex, last, scene.epochs[last], "the disk is full: 3.1 GB free, 12.9 needed"
        )
    submission.node_facts(scene.links)
    scene.fold()
    for job in (chain, mesh):
        scheduler = scene.links.scheduler
        reconcile(job, scheduler.job(job.id.hex), scheduler.job_nodes(job.id.hex))
    return scene
