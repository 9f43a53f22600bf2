"""The simulated fleet as a whole: machines, bucket, coordinator, and the calls between them and the real scheduler."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis

from tests.simulation.agent import Agent
from tests.simulation.engine import Engine
from tests.simulation.ledger import Ledger
from tests.simulation.meter import Meter
from tests.simulation.model import SHARD_SIZE, Scenario, Seeds
from tests.simulation.network import Endpoint, Flow, Network
from tests.simulation.pushes import Pushes
from transfers.errors import NoSuchJob, NotEnrolled, StaleNode
from transfers.scheduler import Scheduler
from transfers.scheduler.base import text
from transfers.scheduler.keys import Keys
from transfers.scheduler.types import GCS, Assignment

if TYPE_CHECKING:
    from tests.simulation.faults import Fault

ENROLMENT_KEY = "simulated"


class World:
    """One run of a scenario. `ledger` holds what happened, `meter` what the scheduler cost."""

    def __init__(self, client: redis.Redis, scenario: Scenario, seed: int) -> None:
        self.client = client
        self.scenario = scenario
        self.options = scenario.options
        self.seeds = Seeds(seed)
        self.engine = Engine()
        self.network = Network(self.engine)
        self.key = ENROLMENT_KEY
        self.scheduler = Scheduler(client, clock=self.engine.clock, random=self.seeds.scheduler)
        self.jobs = {job.name: job for job in scenario.jobs}
        self.submitted: set[str] = set()
        self.agents = {spec.name: Agent(self, spec) for spec in scenario.nodes}
        self.bucket = Endpoint(float("inf"))
        if self.options.gcs_total is not None:
            self.bucket.capacity = self.options.gcs_total * self.options.card
        self.ledger = Ledger(self)
        self.meter = Meter(client)
        self.faults: list[Fault] = list(scenario.faults)  # type: ignore[arg-type]
        self.lying: dict[str, float] = {}  # node -> chance that it sends wrong bytes
        self.bucket_lies = 0.0
        self.disturb: Callable[[Agent, str], tuple[str, float]] | None = None
        self.waiting: dict[Agent, None] = {}  # parked agents; a dictionary, since a set's order differs between runs
        self._keys = Keys("main")
        self._indexes: dict[str, str] = {}
        self._by_inbox: dict[str, Agent] = {}
        self.pushes = Pushes(client)
        self._requests = 0
        self._blocking: tuple[str, str] | None = None  # a job and node that the end was last seen to wait for

    # --- the run

    def run(self) -> Ledger:
        """Play the scenario until every job is done on every node that lives, or the time limit."""
        self._seed_scheduler()
        for spec in self.scenario.nodes:
            agent = self.agents[spec.name]
            self.engine.at(spec.joins, agent.start)
            if spec.leaves is not None:
                self.engine.at(spec.leaves, agent.leave)
        for job in self.scenario.jobs:
            self.engine.at(job.at, self._submit, job.name)
        self.engine.every(self.options.reap_ms, self._reap)
        for fault in self.faults:
            fault.arm(self)
        self.ledger.arm()
        self.meter.begin()
        self.engine.run(self.options.limit_ms or self._patience())
        self.meter.end()
        self.ledger.close()
        self.pushes.close()
        return self.ledger

    def _patience(self) -> float:
        """How long a run may take: enough for nodes at a tenth of the rate, and for one that died late to be missed."""
        options = self.options
        shards = sum(job.spec.shard_count for job in self.scenario.jobs)
        slowest = min([1.0] + [n.down for n in self.scenario.nodes] + [n.up for n in self.scenario.nodes])
        return 3 * shards * options.shard_ms / min(slowest, options.gcs_rate) + 120_000

    def _seed_scheduler(self) -> None:
        self.scheduler.set_enrolment_keys([hashlib.sha256(ENROLMENT_KEY.encode()).hexdigest()])

    def _submit(self, name: str) -> None:
        job = self.jobs[name]
        self.scheduler.create_job(job.spec, plan="{}")
        self.scheduler.enrol(name, job.nodes)
        self.submitted.add(name)
        for node in job.nodes:
            if node in self.agents:
                self.engine.after(self.options.latency, self.agents[node].nudge, name)

    def rebuild(self) -> None:
        """What the coordinator does when Redis lost its data: write the jobs again from the record."""
        self._seed_scheduler()
        for name in sorted(self.submitted):
            job = self.jobs[name]
            self.scheduler.create_job(job.spec, plan="{}")
            self.scheduler.enrol(name, job.nodes)

    def _reap(self) -> None:
        for _ in range(1000):
            with self.meter.timed("reap"):
                reply = self.scheduler.reap()
            self.ledger.reaped(reply)
            if not reply.more:
                break
        self.deliver()
        self.ledger.after_event()

    def request_id(self) -> str:
        self._requests += 1
        return f"r{self._requests}"

    # --- calls

    def call(self, agent: Agent, op: str, run: Callable[[], Any], reply: Callable[[Any], None]) -> None:
        """One call of `agent`: there, executed, and back. A lost call or a lost answer is tried again, as agents do."""
        kind, delay = ("ok", 0.0) if self.disturb is None else self.disturb(agent, op)
        latency = self.options.latency + delay
        retry = self.options.call_timeout_ms
        if kind == "lost_request":
            self.engine.after(retry, self.call, agent, op, run, reply)
        elif kind == "lost_reply":
            self.engine.after(latency, self._execute, agent, op, run, None)
            self.engine.after(retry, self.call, agent, op, run, reply)
        elif kind == "repeat":
            self.engine.after(latency + self.seeds.faults.uniform(0, 200), self._execute, agent, op, run, None)
            self._later(latency, self._execute, agent, op, run, reply)
        else:
            self._later(latency, self._execute, agent, op, run, reply)

    def _later(self, delay: float, action: Callable[..., Any], *args: Any) -> None:
        if delay:
            self.engine.after(delay, action, *args)
        else:
            action(*args)

    def _execute(self, agent: Agent, op: str, run: Callable[[], Any], reply: Callable[[Any], None] | None) -> None:
        try:
            with self.meter.timed(op):
                answer = run()
        except StaleNode:
            if reply is not None:
                self.engine.after(self.options.latency, self._stale, agent, agent.life, agent.epoch)
            return
        except NotEnrolled:
            # Redis lost the enrolment keys; the coordinator writes them again.
            self.engine.after(self.options.call_timeout_ms, self._enrol_again, agent, agent.life)
            return
        except NoSuchJob:
            # Redis lost it; the coordinator writes it again, and the next heartbeat tells the agent.
            self.ledger.count["no_such_job"] += 1
            return
        self.ledger.after_call(op, answer)
        if reply is not None:
            self._later(self.options.latency, reply, answer)
        self.deliver()
        self.ledger.after_event()

    def _enrol_again(self, agent: Agent, life: int) -> None:
        if agent.alive and agent.life == life and not agent.epoch:
            agent.register()

    def _stale(self, agent: Agent, life: int, epoch: int) -> None:
        if agent.alive and agent.life == life and agent.epoch == epoch:
            agent.calling = False
            if epoch:
                agent.register()

    # --- inboxes

    def inbox(self, agent: Agent) -> str:
        """The list in which this start of the node is handed work while it waits."""
        name = agent.name
        index = self._indexes.get(name)
        if index is None:
            index = self.client.hget(self._keys("nodes"), name)
            if index is None:
                return self._keys("nobody")
            index = self._indexes[name] = text(index)
        key = self._keys.node(index, f":in:{agent.epoch}")
        self._by_inbox[key] = agent
        return key

    def forget_indexes(self) -> None:
        """Redis lost data: nodes are numbered anew."""
        self._indexes.clear()
        self._by_inbox.clear()

    def deliver(self) -> None:
        """Hand the inboxes of parked nodes to them, as their blocking pop would."""
        if not self.waiting:
            return
        for key in self.pushes.drain():
            agent = self._by_inbox.get(key)
            if agent is not None and agent in self.waiting:
                self._pop(agent)

    def check_inbox(self, agent: Agent) -> None:
        if self.client.llen(self.inbox(agent)):  # and from here on, pushes are heard of
            self._pop(agent)

    def _pop(self, agent: Agent) -> None:
        assignments = tuple(self.scheduler.wait(agent.name, 0, agent.epoch))
        if not assignments:
            return
        self.ledger.pushed(assignments)
        agent.parked = False
        if self.disturb is not None and self.disturb(agent, "wait")[0] == "lost_reply":
            self.ledger.count["lost_pushes"] += 1
            self.engine.after(self.options.call_timeout_ms, agent.ask)
            return
        life = agent.life
        self._later(self.options.latency, agent._in_life, life, agent.take_pushed, (assignments,))

    # --- bytes

    def open_flow(self, agent: Agent, assignment: Assignment, on_end: Callable[[Flow, str], None]) -> Flow | str:
        """Connect to the source of an assignment. A word instead of a flow says why that failed."""
        jitter = self.seeds.sizes.uniform(-self.options.jitter, self.options.jitter)
        here = agent.copies[assignment.job].partial.get(assignment.shard, 0.0)
        size = max(1.0, SHARD_SIZE * (1 + jitter) - here)
        if assignment.source == GCS:
            stream = Endpoint(self.options.gcs_rate * self.options.card)
            flow = Flow(assignment, GCS, agent.name, size, self._bucket_ends(stream, agent), on_end)
            self.network.start(flow)
            return flow
        source = self.agents.get(assignment.source)
        if source is None or not source.alive:
            self.ledger.count["refused"] += 1
            return "refused"
        copy = source.copies.get(assignment.job)
        upstream = None
        if copy is None or not copy.have >> assignment.shard & 1:
            upstream = receiving(source, assignment)
            if upstream is None:
                if not assignment.cut_through:
                    self.ledger.missing(assignment)
                return "missing"
        flow = Flow(assignment, source.name, agent.name, size, (source.up, agent.down), on_end)
        flow.upstream = upstream
        self.network.start(flow)
        if source.frozen:
            self.stall(flow)
        self.ledger.serving(source)
        return flow

    def _bucket_ends(self, stream: Endpoint, agent: Agent) -> tuple[Endpoint, ...]:
        return (self.bucket, stream, agent.down) if self.options.shared_card else (self.bucket, stream)

    def stall(self, flow: Flow) -> None:
        """Its bytes stop; the receiver notices after a while, unless it is stopped itself."""
        self.network.stall(flow)
        receiver = self.agents[flow.receiver]
        receiver._later(self.options.stall_after_ms, self.network.stop, flow, "stalled")

    def received_digest(self, agent: Agent, flow: Flow) -> int:
        """The digest of what arrived: the sender's copy's, unless the sender (or the bucket's reader) damaged it."""
        assignment = flow.assignment
        job = self.jobs[assignment.job]
        if flow.sender == GCS:
            right, lie = job.digest(assignment.shard), self.bucket_lies
        else:
            copy = self.agents[flow.sender].copies.get(assignment.job)
            right = copy.digest(assignment.shard) if copy is not None else job.digest(assignment.shard)
            lie = self.lying.get(flow.sender, 0.0)
        if lie and self.seeds.faults.random() < lie:
            self.ledger.count["damaged"] += 1
            return (right + 1 + self.seeds.faults.randrange(1 << 31)) & 0xFFFFFFFF
        return right

    def assigned(self, agent: Agent, assignment: Assignment) -> None:
        self.ledger.assigned(agent, assignment)

    # --- the end

    def node_done(self, agent: Agent) -> None:
        """Stop when nobody that lives, or is still to come, has anything left to do."""
        self.ledger.node_done(agent)
        if len(self.submitted) == len(self.jobs) and not self._waits_for(self._blocking):
            for name in sorted(self.submitted):
                for node in self.jobs[name].nodes:
                    if self._waits_for((name, node)):
                        self._blocking = (name, node)
                        return
            self.engine.stop()

    def _waits_for(self, who: tuple[str, str] | None) -> bool:
        """Whether this node may still complete this job: it lives without it, or it is still to come."""
        agent = None if who is None else self.agents.get(who[1])
        if who is None or agent is None:
            return False
        if not agent.alive:
            return agent.life == 0 or any(fault.will_return(agent.name) for fault in self.faults)
        return who not in self.ledger.done  # whole is not enough: the scheduler's answer to that may be under way


def receiving(source: Agent, assignment: Assignment) -> Flow | None:
    """The flow that brings this shard to its sender right now."""
    for flow in source.flows.values():
        if flow is not None and flow.assignment.shard == assignment.shard and flow.assignment.job == assignment.job:
            return flow
    return None
