"""Random interleavings of every operation, against a plain Python model of what the callers know."""

from __future__ import annotations

import redis as redis_py
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.scheduler.followed import one_copy_is_plenty
from tests.simulation.model import NodeSpec
from tests.simulation.small_fleet import Member, SmallFleet

NAMES = ["a", "b", "c", "d", "e"]
OUTCOMES = st.sampled_from(["ok", "ok", "ok", "ok", "failed", "corrupt", "cancelled", "nothing"])


class SchedulerMachine(RuleBasedStateMachine):
    """Nodes come, go, stall and repeat themselves; the invariants hold throughout, and in the end all finish."""

    client: redis_py.Redis

    @initialize(
        slots=st.integers(1, 3),
        zones=st.booleans(),
        topology=st.sampled_from(["mesh", "pipeline"]),
        shards=st.integers(1, 9),
        gcs_slots=st.integers(1, 3),
        whole=st.booleans(),
        seed=st.integers(0, 1 << 16),
    )
    def begin(
        self, slots: int, topology: str, shards: int, gcs_slots: int, zones: bool, whole: bool, seed: int
    ) -> None:
        """whole: one node has everything on its disk."""
        self.client.flushdb()
        self.fleet = SmallFleet(self.client, seed)
        self.neighbour = SmallFleet(self.client, seed, cell="neighbour")
        for name in NAMES:
            zone = "ab"[NAMES.index(name) % 2]
            self.fleet.add(NodeSpec(name, upload_slots=slots, download_slots=slots, gcs_slots=1, zone=zone))
        for name in NAMES[:2]:
            self.fleet.register(self.fleet.members[name])
        own_zone = zones and topology == "mesh"
        job = self.fleet.create(shards, NAMES[:4], topology=topology, gcs_slots=gcs_slots, own_zone=own_zone)
        if whole:
            digest = self.fleet.jobs[job].digest
            self.fleet.members["a"].disk[job] = {shard: digest(shard) for shard in range(shards)}
        for name in NAMES[:2]:
            self.neighbour.register(self.neighbour.add(NodeSpec(name)))
        self.neighbour.create(40, NAMES[:2])

    def pick(self, data: st.DataObject, on: bool = True) -> Member:
        return data.draw(st.sampled_from([m for m in self.fleet.members.values() if m.on or not on]))

    def somebody_on(self) -> bool:
        return any(m.on for m in self.fleet.members.values())

    @rule(data=st.data())
    def register(self, data: st.DataObject) -> None:
        self.fleet.register(self.pick(data, on=False))

    @precondition(somebody_on)
    @rule(data=st.data(), rounds=st.integers(1, 3))
    def work(self, data: st.DataObject, rounds: int) -> None:
        """What a node does most of the time: announce, take, report, ask."""
        member = self.pick(data)
        for job, names in self.fleet.enrolled.items():
            if member.name in names and job not in member.announced and job not in self.fleet.cancelled:
                self.fleet.announce(member, job)
        for _ in range(rounds):
            self.fleet.pop(member)
            told = {lease: data.draw(OUTCOMES) for lease in member.leases}
            outcomes = {lease: outcome for lease, outcome in told.items() if outcome != "nothing"}
            self.fleet.ask(member, outcomes, data.draw(st.integers(0, 4)))
            self.fleet.report_finished(member)

    @rule(name=st.sampled_from(NAMES[:2]))
    def another_cell_works(self, name: str) -> None:
        """On the same server, with nodes and a job of the same names."""
        self.neighbour.now = self.fleet.now
        self.neighbour.heartbeat(self.neighbour.members[name], moving=True)
        self.neighbour.work(self.neighbour.members[name])
        self.neighbour.check()

    @rule()
    def repeat(self) -> None:
        self.fleet.repeat()

    @precondition(somebody_on)
    @rule(data=st.data(), moving=st.booleans())
    def heartbeat(self, data: st.DataObject, moving: bool) -> None:
        self.fleet.heartbeat(self.pick(data), moving)

    @precondition(somebody_on)
    @rule(data=st.data())
    def stop_waiting(self, data: st.DataObject) -> None:
        self.fleet.unpark(self.pick(data))

    @precondition(somebody_on)
    @rule(data=st.data(), graceful=st.booleans())
    def go(self, data: st.DataObject, graceful: bool) -> None:
        member = self.pick(data)
        if graceful:
            self.fleet.leave(member)
        else:
            self.fleet.switch_off(member)

    @precondition(somebody_on)
    @rule(data=st.data(), draining=st.booleans())
    def drain(self, data: st.DataObject, draining: bool) -> None:
        self.fleet.scheduler.set_draining(self.pick(data).name, draining)

    @rule(ms=st.sampled_from([10, 900, 5000, 16_000, 40_000]))
    def time_passes(self, ms: int) -> None:
        self.fleet.now += ms
        self.fleet.reap()

    @precondition(lambda self: len(self.fleet.jobs) < 3)
    @rule(data=st.data(), shards=st.integers(1, 6), topology=st.sampled_from(["mesh", "pipeline"]))
    def create(self, data: st.DataObject, shards: int, topology: str) -> None:
        nodes = data.draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
        self.fleet.create(shards, nodes, topology=topology, gcs_slots=1, priority=data.draw(st.integers(-1, 1)))

    @rule(data=st.data())
    def enrol(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.fleet.jobs)))
        if job not in self.fleet.cancelled:
            self.fleet.enrol(job, [data.draw(st.sampled_from(NAMES))])

    @rule(data=st.data(), state=st.sampled_from(["paused", "running"]))
    def pause(self, data: st.DataObject, state: str) -> None:
        job = data.draw(st.sampled_from(sorted(self.fleet.jobs)))
        if job not in self.fleet.cancelled:
            self.fleet.scheduler.set_state(job, state)

    @precondition(lambda self: len(self.fleet.jobs) > 1)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.fleet.cancel(data.draw(st.sampled_from(sorted(self.fleet.jobs))))

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "fleet"):
            self.fleet.check()

    def teardown(self) -> None:
        if hasattr(self, "fleet"):
            for name in self.fleet.members:
                self.fleet.scheduler.set_draining(name, False)
            self.fleet.drive_to_the_end()


def run_machine(client: redis_py.Redis, examples: int) -> None:
    machine = type("Machine", (SchedulerMachine,), {"client": client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            print_blob=False,
        ),
    )


def test_whatever_the_order_of_events_no_slot_is_lost_and_every_live_node_completes(redis: redis_py.Redis) -> None:
    run_machine(redis, 40)


def test_nor_where_transfers_follow_each_other(redis: redis_py.Redis) -> None:
    with one_copy_is_plenty():
        run_machine(redis, 40)
