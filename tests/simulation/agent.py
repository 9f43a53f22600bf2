"""A node of the simulated fleet: the agent's loop (next, move, report) without its threads and sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.model import SHARD_SIZE, NodeSpec, SimJob
from tests.simulation.network import Endpoint, Flow
from transfers.scheduler.types import GCS, Assignment, Heartbeat, HeartbeatReply, NextReply, Registration, Report

if TYPE_CHECKING:
    from tests.simulation.world import World

RETRY_UNSETTLED_MS = 50.0
RETRY_IDLE_MS = 1000.0
FORWARD_POLL_MS = 20.0
TOLD_WITHIN_MS = 2000.0  # how long news may wait for what follows
REFUSED_MS = 1.0  # how long it takes to be told that a source does not answer or has no such shard


class Copy:
    """What one node has of one job. `have` is a bitmap; `odd` holds digests of shards whose bytes are wrong."""

    def __init__(self, job: SimJob) -> None:
        self.job = job
        self.have = 0
        self.odd: dict[int, int] = {}
        self.partial: dict[int, float] = {}
        self.announced = False
        self.finished: float | None = None

    def digest(self, shard: int) -> int:
        return self.odd.get(shard, self.job.digest(shard))

    def keep(self, shard: int, digest: int) -> None:
        self.have |= 1 << shard
        self.partial.pop(shard, None)
        if digest == self.job.digest(shard):
            self.odd.pop(shard, None)
        else:
            self.odd[shard] = digest

    def drop(self, shard: int) -> None:
        self.have &= ~(1 << shard)
        self.odd.pop(shard, None)

    def held(self) -> dict[int, int]:
        return {shard: self.digest(shard) for shard in range(self.job.spec.shard_count) if self.have >> shard & 1}


class Agent:
    """One node. Calls go one at a time, as its drain loop makes them; heartbeats go beside them."""

    def __init__(self, world: World, spec: NodeSpec) -> None:
        card = world.options.card
        self.world = world
        self.spec = spec
        self.name = spec.name
        self.up = Endpoint(spec.up * card)
        self.down = Endpoint(spec.down * card)
        self.copies: dict[str, Copy] = {}
        self.alive = self.frozen = self.calling = self.ask_again = False
        self.asks = 0
        self.life = 0  # counts starts: what was under way in an earlier life does not matter any more
        self.epoch = 0
        self.flows: dict[str, Flow | None] = {}  # lease -> its flow, None until the connection stands
        self.leases: dict[str, Assignment] = {}
        self.followers: dict[str, Assignment] = {}  # what begins when the transfer with this lease is over
        self.ending: set[str] = set()  # leases whose slots are given back already
        self.reports: list[Report] = []
        self.settling: dict[str, Assignment] = {}  # reported, and the shard's digest is not known yet
        self.good: dict[str, Assignment] = {}  # arrived whole, to be reported
        self.told: dict[str, Assignment] = {}  # reported as good by the call under way
        self.peer_rates: dict[str, float] = {}
        self.moved = (0.0, 0.0, 0.0)
        self.bytes_gcs = self.bytes_across = 0.0  # from the bucket, and from other zones
        self._thawed: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    @property
    def parked(self) -> bool:
        return self in self.world.waiting

    @parked.setter
    def parked(self, parked: bool) -> None:
        if parked:
            self.world.waiting[self] = None
        else:
            self.world.waiting.pop(self, None)

    # --- life

    def start(self) -> None:
        """Power on: nothing is remembered but the disk."""
        self.life += 1
        self.alive, self.frozen, self.calling, self.parked = True, False, False, False
        self.flows, self.leases, self.reports, self.settling = {}, {}, [], {}
        self.ending.clear()
        self.followers.clear()
        self.good.clear()
        for copy in self.copies.values():
            copy.announced = False
        self.register()
        interval = self.world.options.heartbeat_ms
        self._later(self.world.seeds.timing.uniform(0.2, 1.0) * interval, self._heartbeat)

    def die(self, vanish: bool = False) -> None:
        """Power off. vanish: no connection is reset, peers only see that bytes stop (a lost machine, a cut cable)."""
        self.alive = self.parked = False
        self.life += 1
        for flow in list(self.up.flows):
            if vanish:
                self.world.stall(flow)
            else:
                self.world.network.stop(flow, "reset")
        for flow in self.flows.values():
            if flow is not None:
                self.world.network.stop(flow, "gone")
        self.flows, self.leases = {}, {}

    def leave(self) -> None:
        """A graceful goodbye; the machine goes a moment later."""
        self._call("leave", lambda: self.world.scheduler.leave(self.name), lambda _: self.die())

    def freeze(self, duration: float) -> None:
        """SIGSTOP: nothing runs, connections stay open, time goes on."""
        if not self.alive or self.frozen:
            return
        self.frozen = True
        for flow in list(self.up.flows) + [f for f in self.flows.values() if f is not None]:
            self.world.stall(flow)
        self._later(duration, self._thaw)

    def _thaw(self) -> None:
        self.frozen = False
        for flow in [f for f in self.flows.values() if f is not None]:
            self.world.network.stop(flow, "stalled")
        thawed, self._thawed = self._thawed, []
        for action, args in thawed:
            action(*args)

    def _later(self, delay: float, action: Callable[..., Any], *args: Any) -> None:
        """Do something later in this life."""
        self.world.engine.after(delay, self._in_life, self.life, action, args)

    def _in_life(self, life: int, action: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if life != self.life or not self.alive:
            return
        if self.frozen and action != self._thaw:
            self._thawed.append((action, args))
        else:
            action(*args)

    def _call(self, op: str, run: Callable[[], Any], then: Callable[[Any], None]) -> None:
        life = self.life
        self.world.call(self, op, run, lambda reply: self._in_life(life, then, (reply,)))

    # --- registration, heartbeats, orders

    def register(self) -> None:
        self.epoch = 0
        self._call(
            "register", lambda: self.world.scheduler.register(self.spec.info(), self.world.key), self._registered
        )

    def _registered(self, reply: Registration) -> None:
        self.epoch = reply.epoch
        self.calling = self.parked = False
        for lease in list(self.leases):  # leases of the earlier epoch are gone
            self.stop(lease)
        self.reports.clear()
        self.settling.clear()
        for copy in self.copies.values():
            copy.announced = False
        for job in reply.jobs:
            self.nudge(job)

    def _heartbeat(self) -> None:
        interval = self.world.options.heartbeat_ms
        self._later(interval, self._heartbeat)
        if not self.epoch:
            return
        progress = {
            lease: int(self.world.network.progress(flow)) if flow is not None else 0
            for lease, flow in self.flows.items()
        }
        gcs = self.bytes_gcs + sum(f.done for f in self.flows.values() if f is not None and f.sender == GCS)
        now = (self.up.moved, self.down.moved, gcs)
        up, down, gcs = ((b - a) * 1000 / interval for a, b in zip(self.moved, now, strict=True))
        self.moved = now
        beat = Heartbeat(
            self.name,
            self.epoch,
            progress,
            rate_up=up,
            rate_down=max(0.0, down - gcs),
            rate_gcs=gcs,
            peer_rates=dict(self.peer_rates),
        )
        self.peer_rates.clear()
        asks = self.asks if self.parked else None
        self._call("heartbeat", lambda: self.world.scheduler.heartbeat(beat), lambda reply: self._beaten(reply, asks))

    def _beaten(self, reply: HeartbeatReply, parked_since: int | None) -> None:
        if not reply.known:
            if self.epoch:
                self.register()
            return
        for lease in reply.cancelled:
            if lease in self.leases:
                self.stop(lease)
                self.reports.append(Report(lease, "cancelled"))
        for order in reply.orders:
            copy = self.copies.get(order.get("job", ""))
            if copy is not None and order["op"] == "drop":
                for shard in order["shards"]:
                    copy.drop(shard)
            elif copy is not None and order["op"] in ("cancel", "purge"):
                del self.copies[copy.job.name]
        for job in reply.jobs:
            self.nudge(job)
        forgotten = parked_since == self.asks and not reply.parked
        if self.reports or not self.parked or forgotten:
            self.ask()

    def stop(self, lease: str) -> None:
        """Drop a transfer without reporting it."""
        self.leases.pop(lease, None)
        self.ending.discard(lease)
        self._drop_follower(lease)
        flow = self.flows.pop(lease, None)
        if flow is not None:
            assignment, copy = flow.assignment, self.copies.get(flow.assignment.job)
            if copy is not None and not assignment.confirm:
                copy.partial[assignment.shard] = copy.partial.get(assignment.shard, 0.0) + self.world.network.progress(
                    flow
                )
            self.world.network.stop(flow, "cancelled")

    # --- the drain loop

    def nudge(self, job: str) -> None:
        """There may be work for this job here: announce what is on disk, once, and ask."""
        if not self.alive or not self.epoch:
            return
        copy = self.copies.get(job)
        if copy is None:
            copy = self.copies[job] = Copy(self.world.jobs[job])
        if not copy.announced:
            self._announce(copy)

    def _announce(self, copy: Copy) -> None:
        copy.announced = True
        held, epoch, job = copy.held(), self.epoch, copy.job.name

        def announced(reply: Any) -> None:
            for shard in reply.rejected:
                copy.drop(shard)
            self._complete_if_whole(copy)
            self.ask()

        self._call("announce", lambda: self.world.scheduler.announce(job, self.name, epoch, held), announced)

    def ask(self) -> None:
        """Report what ended and ask for what this node has room for."""
        if self.calling:
            self.ask_again = True
            return
        slotless = self.ending | {each.lease for each in self.followers.values()}
        room = self.spec.download_slots + self.spec.gcs_slots - len(self.leases.keys() - slotless)
        if not self.alive or not self.epoch or not (self.reports or room > 0):
            return
        if not any(copy.announced for copy in self.copies.values()):
            return
        self.calling, self.ask_again, self.parked = True, False, False
        self.asks += 1
        reports, self.reports = tuple(self.reports), []
        self.told = {r.lease: self.good[r.lease] for r in reports if r.lease in self.good}
        self.good.clear()
        epoch, request = self.epoch, self.world.request_id()
        self._call(
            "next", lambda: self.world.scheduler.next(self.name, epoch, reports, max(0, room), request), self._answered
        )

    def _answered(self, reply: NextReply) -> None:
        self.calling = False
        for lease in reply.stale:
            self._tell_again(lease)
        for lease in reply.unsettled:
            self._later(RETRY_UNSETTLED_MS, self._report_again, self.settling.get(lease))
        for lease in reply.rejected:
            if (assignment := self.settling.pop(lease, None)) is not None:
                self.copies[assignment.job].drop(assignment.shard)
        for lease in [lease for lease in self.settling if lease not in reply.unsettled]:
            del self.settling[lease]
        for job in reply.finished:
            if job in self.copies:
                self._complete(self.copies[job])
        self.parked = reply.parked
        self.take(reply.assignments)
        if self.ask_again or self.reports:
            self.ask()
        elif self.parked:
            self.world.check_inbox(self)
        elif not self.leases and self.unfinished():
            self._later(RETRY_IDLE_MS, self.ask)

    def _report_again(self, assignment: Assignment | None) -> None:
        if assignment is not None:
            copy = self.copies[assignment.job]
            self.reports.append(Report(assignment.lease, "ok", crc32c=copy.digest(assignment.shard)))
            self.ask()

    def _tell_again(self, lease: str) -> None:
        """The scheduler knew nothing of a lease whose bytes are here: announce them, so that they count."""
        assignment = self.told.get(lease)
        if assignment is None or assignment.job not in self.copies:
            return
        copy, epoch = self.copies[assignment.job], self.epoch
        held = {assignment.shard: copy.digest(assignment.shard)}

        def announced(reply: Any) -> None:
            for shard in reply.rejected:
                copy.drop(shard)
            self._complete_if_whole(copy)

        run = self.world.scheduler.announce
        self._call("announce", lambda: run(assignment.job, self.name, epoch, held), announced)

    def _complete_if_whole(self, copy: Copy) -> None:
        if copy.finished is None and copy.have == (1 << copy.job.spec.shard_count) - 1:
            self._complete(copy)

    def take_pushed(self, assignments: tuple[Assignment, ...]) -> None:
        """Work that came through the inbox; ask again for the slots that it leaves free."""
        self.parked = False
        self.take(assignments)
        peers = sum(1 for a in self.leases.values() if a.source != GCS)
        if not self.leases or peers < self.spec.download_slots - 1:
            self.ask()

    def take(self, assignments: tuple[Assignment, ...]) -> None:
        for assignment in assignments:
            if assignment.lease in self.leases:
                continue
            if assignment.job not in self.copies:
                self.world.ledger.count["unannounced"] += 1
                self.copies[assignment.job] = Copy(self.world.jobs[assignment.job])
            self.leases[assignment.lease] = assignment
            self.flows[assignment.lease] = None
            self.world.assigned(self, assignment)
            if assignment.follows in self.leases:
                self.followers[assignment.follows] = assignment
            else:
                self._start(assignment)

    def _start(self, assignment: Assignment) -> None:
        connect = self.world.options.connect_ms
        if connect:
            self._later(connect, self._connect, assignment)
        else:
            self._connect(assignment)

    def unfinished(self) -> list[Copy]:
        return [copy for copy in self.copies.values() if copy.finished is None]

    # --- transfers

    def _connect(self, assignment: Assignment, waited: float = 0.0) -> None:
        if assignment.lease not in self.leases:
            return
        outcome = self.world.open_flow(self, assignment, self._ended)
        if isinstance(outcome, Flow):
            self.flows[assignment.lease] = outcome
            if self.world.options.ahead_ms:
                self._look_ahead(assignment.lease)
        elif outcome == "missing" and assignment.cut_through and waited < self.world.options.stall_after_ms:
            # its source was told to fetch the shard, and has not begun
            self._later(FORWARD_POLL_MS, self._connect, assignment, waited + FORWARD_POLL_MS)
        else:
            self._later(REFUSED_MS, self._failed, assignment, outcome, 0.0)

    def _look_ahead(self, lease: str) -> None:
        """Say that a transfer is nearly over when it is, and ask for the next one."""
        flow = self.flows.get(lease)
        if flow is None or lease in self.followers:
            return
        ahead = self.world.options.ahead_ms
        left = self.world.network.left_ms(flow)
        if left > ahead:
            self._later(max(1.0, min(left - ahead, 20 * ahead)), self._look_ahead, lease)
            return
        self.ending.add(lease)
        self.reports.append(Report(lease, "ending"))
        self.ask()

    def _ended(self, flow: Flow, why: str) -> None:
        assignment = flow.assignment
        if not self.alive or self.leases.get(assignment.lease) is not assignment:
            return
        if assignment.source == GCS:
            self.bytes_gcs += flow.done
        else:
            took = max(1.0, self.world.engine.now - flow.began)
            self.peer_rates[assignment.source] = flow.done * 1000 / took
            if self.world.agents[assignment.source].spec.zone != self.spec.zone:
                self.bytes_across += flow.done
        if why:
            self._failed(assignment, why, flow.done)
        elif self.world.options.verify_ms:
            self._later(self.world.options.verify_ms, self._verified, flow)
        else:
            self._verified(flow)

    def _verified(self, flow: Flow) -> None:
        assignment = flow.assignment
        if self.leases.get(assignment.lease) is not assignment:
            return
        del self.leases[assignment.lease], self.flows[assignment.lease]
        self.ending.discard(assignment.lease)
        digest = self.world.received_digest(self, flow)
        copy = self.copies[assignment.job]
        took = int(self.world.engine.now - flow.began)
        if assignment.digest is not None and digest != assignment.digest:
            copy.partial.pop(assignment.shard, None)
            self.reports.append(Report(assignment.lease, "corrupt", digest, int(flow.done), took, "digest"))
        else:
            copy.keep(assignment.shard, digest)
            self.good[assignment.lease] = assignment
            if assignment.digest is None:
                self.settling[assignment.lease] = assignment
            self.reports.append(Report(assignment.lease, "ok", digest, int(flow.done), took))
            follower = self.followers.pop(assignment.lease, None)
            if follower is not None and follower.lease in self.leases:
                self._start(follower)
                self._later(TOLD_WITHIN_MS, self._tell, self.asks)
                return  # both are told at once
        self._drop_follower(assignment.lease)
        self.ask()

    def _tell(self, asks: int) -> None:
        """News has waited for long, if nobody called since."""
        if self.reports and self.asks == asks:
            self.ask()

    def _drop_follower(self, lease: str) -> None:
        follower = self.followers.pop(lease, None)
        if follower is not None and follower.lease in self.leases:
            self.stop(follower.lease)
            self.reports.append(Report(follower.lease, "cancelled"))

    def _failed(self, assignment: Assignment, why: str, done: float) -> None:
        if assignment.lease not in self.leases:
            return
        self.leases.pop(assignment.lease, None)
        self.flows.pop(assignment.lease, None)
        self.ending.discard(assignment.lease)
        copy = self.copies.get(assignment.job)
        if copy is not None and not assignment.confirm:
            copy.partial[assignment.shard] = min(SHARD_SIZE, copy.partial.get(assignment.shard, 0.0) + done)
        self.reports.append(Report(assignment.lease, "failed", None, int(done), 0, why))
        self._drop_follower(assignment.lease)
        self.ask()

    def _complete(self, copy: Copy) -> None:
        """Every shard is here: check the files as a whole, then say so, or dispute those that are wrong."""
        job, epoch = copy.job, self.epoch
        for index, shards in enumerate(job.files):
            wrong = [s for s in shards if s in copy.odd]
            if wrong:
                digests = {s: copy.digest(s) for s in shards}
                self._call(
                    "dispute",
                    lambda i=index, r=shards, d=digests: self.world.scheduler.dispute(
                        job.name, self.name, epoch, i, r, d
                    ),
                    lambda _: self.ask(),
                )
                return
        if copy.finished is None:
            copy.finished = self.world.engine.now
        self._call("finish", lambda: self.world.scheduler.finish(job.name, self.name, epoch), self._finished)

    def _finished(self, _: object) -> None:
        self.world.node_done(self)
