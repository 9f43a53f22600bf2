"""A fleet of a few nodes as plain Python, kept beside the real scheduler: what its callers know for certain.

It makes the calls, remembers every answer, and says at once when an answer cannot be right.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace

import redis

from tests.simulation import invariants
from tests.simulation.model import NodeSpec, SimJob, make_job
from transfers.errors import NoSuchJob, StaleNode
from transfers.scheduler import Scheduler
from transfers.scheduler.types import GCS, Assignment, Heartbeat, NextReply, Outcome, Report

KEY = "small"


@dataclass
class Member:
    """One node. disk: job -> shard -> digest. on: it runs; a node that is off makes no calls."""

    spec: NodeSpec
    epoch: int = 0
    address: str = ""
    on: bool = False
    parked: bool = False
    disk: dict[str, dict[int, int]] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    leases: dict[str, Assignment] = field(default_factory=dict)
    unsettled: dict[str, Assignment] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.spec.name


class SmallFleet:
    """Calls and bookkeeping. Every method is one thing that can happen."""

    def __init__(self, client: redis.Redis, seed: int = 0, cell: str = "main") -> None:
        self.now = 1_800_000_000_000
        self.client = client
        self.scheduler = Scheduler(client, cell, clock=lambda: self.now, random=random.Random(seed))
        self.cell = cell
        self.members: dict[str, Member] = {}
        self.jobs: dict[str, SimJob] = {}
        self.enrolled: dict[str, set[str]] = {}
        self.cancelled: set[str] = set()
        self.last: tuple[Member, tuple, NextReply] | None = None
        self.lease_ids: set[str] = set()
        self.requests = self.starts = 0
        self.seed_keys()

    def seed_keys(self) -> None:
        self.scheduler.set_enrolment_keys([hashlib.sha256(KEY.encode()).hexdigest()])

    # --- nodes

    def add(self, spec: NodeSpec) -> Member:
        return self.members.setdefault(spec.name, Member(spec))

    def register(self, member: Member) -> None:
        """A start of the node, at another address: whatever it was doing is over, its disk stays."""
        self.starts += 1
        member.address = f"{member.name}.{self.cell}:{self.starts}"
        registration = self.scheduler.register(replace(member.spec.info(), address=member.address), KEY)
        assert registration.epoch > member.epoch, "each start has a higher epoch"
        member.epoch, member.on, member.parked = registration.epoch, True, False
        member.leases.clear()
        member.unsettled.clear()
        member.announced.clear()

    def announce(self, member: Member, job: str) -> None:
        held = member.disk.setdefault(job, {})
        try:
            reply = self.scheduler.announce(job, member.name, member.epoch, dict(held))
        except StaleNode:
            self.register(member)
            return
        for shard in reply.rejected:
            assert held[shard] != self.jobs[job].digest(shard), f"shard {shard} was right and was refused"
            del held[shard]
        member.announced.add(job)

    def heartbeat(self, member: Member, moving: bool) -> None:
        progress = {lease: self.now % 1_000_000_000 if moving else 0 for lease in member.leases}
        reply = self.scheduler.heartbeat(Heartbeat(member.name, member.epoch, progress))
        if not reply.known:
            self.register(member)
            return
        for lease in reply.cancelled:
            member.leases.pop(lease, None)
            member.unsettled.pop(lease, None)
        for order in reply.orders:
            if order["op"] == "drop":
                for shard in order["shards"]:
                    member.disk.get(order["job"], {}).pop(shard, None)
            elif order["op"] in ("cancel", "purge"):
                member.disk.pop(order["job"], None)

    def leave(self, member: Member) -> None:
        self.scheduler.leave(member.name)
        self.switch_off(member)

    def switch_off(self, member: Member) -> None:
        member.on = member.parked = False
        member.leases.clear()
        member.unsettled.clear()

    # --- jobs

    def create(self, shards: int, nodes: list[str], **spec: object) -> str:
        job = make_job(nodes, shards, number=len(self.jobs) + 1, **spec)
        self.jobs[job.name] = job
        self.enrolled[job.name] = set()
        self.scheduler.create_job(job.spec, plan="{}")
        self.enrol(job.name, nodes)
        return job.name

    def enrol(self, job: str, nodes: list[str]) -> None:
        self.scheduler.enrol(job, nodes)
        self.enrolled[job].update(nodes)

    def cancel(self, job: str) -> None:
        self.scheduler.cancel(job, "not wanted any more")
        self.cancelled.add(job)

    # --- work

    def ask(self, member: Member, outcomes: dict[str, Outcome], want: int) -> NextReply:
        """Report some leases with their outcomes, and ask for `want` more transfers."""
        reports = []
        for lease, outcome in outcomes.items():
            assignment = member.leases.pop(lease)
            right = self.jobs[assignment.job].digest(assignment.shard)
            if outcome == "ok":
                reports.append(Report(lease, "ok", right, 1, 1))
                member.unsettled[lease] = assignment
            else:
                reports.append(Report(lease, outcome, right ^ 1 if outcome == "corrupt" else None, 1, 1, "test"))
        for lease, assignment in member.unsettled.items():
            if lease not in outcomes:
                reports.append(Report(lease, "ok", self.jobs[assignment.job].digest(assignment.shard), 1, 1))
        self.requests += 1
        call = (member.name, member.epoch, tuple(reports), want, f"q{self.requests}")
        try:
            reply = self.scheduler.next(*call)
        except StaleNode:
            self.register(member)
            return NextReply()
        assert not reply.rejected, "no digest here was wrong"
        for lease in [lease for lease in member.unsettled if lease not in reply.unsettled]:
            brought = member.unsettled.pop(lease)
            if lease not in reply.stale:
                disk = member.disk.setdefault(brought.job, {})
                disk[brought.shard] = self.jobs[brought.job].digest(brought.shard)
        self.take(member, reply.assignments)
        member.parked = reply.parked
        self.last = (member, call, reply)
        return reply

    def repeat(self) -> None:
        """The last call once more, with its request id: the same answer but for what ended since. Nothing changes."""
        if self.last is None:
            return
        member, call, first = self.last
        if not member.on or member.epoch != call[1]:
            return
        before = sorted(self.scheduler.leases(), key=lambda lease: lease.lease)
        try:
            again = self.scheduler.next(*call)
        except StaleNode:
            self.register(member)
            return
        assert replace(again, assignments=()) == replace(first, assignments=())
        under_way = {lease.lease for lease in before}
        assert [(each.lease, each.shard, each.source) for each in again.assignments] == [
            (each.lease, each.shard, each.source) for each in first.assignments if each.lease in under_way
        ]
        assert sorted(self.scheduler.leases(), key=lambda lease: lease.lease) == before

    def unpark(self, member: Member) -> None:
        try:
            got = self.scheduler.unpark(member.name, member.epoch)
        except StaleNode:
            self.register(member)
            return
        member.parked = False
        self.take(member, tuple(got))

    def pop(self, member: Member) -> None:
        got = self.scheduler.wait(member.name, 0, member.epoch)
        if got:
            member.parked = False
        self.take(member, tuple(got))

    def take(self, member: Member, assignments: tuple[Assignment, ...]) -> None:
        """Every answer must make sense to somebody who knows only what happened."""
        for a in assignments:
            what = f"shard {a.shard} from {a.source or 'the bucket'} to {member.name}"
            assert a.lease not in self.lease_ids, f"lease {a.lease} was given twice"
            self.lease_ids.add(a.lease)
            assert member.name in self.enrolled[a.job], f"{what}: not enrolled"
            assert a.job not in self.cancelled, f"{what}: the job was cancelled"
            assert a.confirm or a.shard not in member.disk.get(a.job, {}), f"{what}: it is here already"
            assert a.digest in (None, self.jobs[a.job].digest(a.shard)), f"{what}: a wrong digest"
            if a.source != GCS:
                assert a.source != member.name, f"{what}: from itself"
                source = self.members[a.source]
                assert a.address == source.address, f"{what}: it is not at {a.address} any more"
                assert a.cut_through or a.shard in source.disk.get(a.job, {}), f"{what}: the source lacks it"
            member.leases[a.lease] = a

    def reap(self) -> None:
        for _ in range(200):
            if not self.scheduler.reap().more:
                return
        raise AssertionError("the reaper never came to an end")

    def check(self) -> None:
        truth: dict[str, dict[str, int]] = {}
        for job in self.jobs:
            truth[job] = {
                m.name: sum(1 << shard for shard in m.disk.get(job, {})) for m in self.members.values() if m.on
            }
        invariants.check(self.scheduler, list(self.jobs), truth)

    def work(self, member: Member) -> None:
        """What a node does: tell what it has, take what came meanwhile, end what is under way and ask for more."""
        for job, names in self.enrolled.items():
            if member.name in names and job not in self.cancelled and job not in member.announced:
                self.announce(member, job)
        self.pop(member)
        room = member.spec.download_slots + member.spec.gcs_slots
        self.ask(member, {lease: "ok" for lease in list(member.leases)}, room)
        self.report_finished(member)

    # --- the end

    def drive_to_the_end(self, rounds: int = 300) -> None:
        """From here on everybody behaves: every node that is on must get everything."""
        for job in self.jobs:
            if job not in self.cancelled:
                self.scheduler.set_state(job, "running")
        for _ in range(rounds):
            if self.settle_once():
                return
            self.now += 700
            self.reap()
        raise AssertionError(f"never completes: {self.unfinished()}")

    def settle_once(self) -> bool:
        for member in self.members.values():
            if not member.on:
                continue
            self.heartbeat(member, moving=True)
            self.work(member)
            self.check()
        return not self.unfinished()

    def report_finished(self, member: Member) -> None:
        for job, names in self.enrolled.items():
            if job in self.cancelled or member.name not in names or job in member.finished:
                continue
            if len(member.disk.get(job, {})) == self.jobs[job].spec.shard_count and not member.unsettled:
                try:
                    self.scheduler.finish(job, member.name, member.epoch)
                except (NoSuchJob, StaleNode):
                    continue
                member.finished.add(job)

    def unfinished(self) -> list[str]:
        return [
            f"{m.name} has shards {sorted(m.disk.get(job, {}))} of {self.jobs[job].spec.shard_count}"
            f" and {len(m.leases)} leases"
            for m in self.members.values()
            for job, names in self.enrolled.items()
            if m.on and m.name in names and job not in self.cancelled and job not in m.finished
        ]
