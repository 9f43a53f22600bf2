"""The agent: everything that one node runs, put together, started and stopped in order."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from nodes.agent.book import JobBook
from nodes.agent.bucket import LazyBucket
from nodes.agent.caps import Caps
from nodes.agent.chaos import OP as CHAOS
from nodes.agent.chaos import Chaos
from nodes.agent.config import AgentConfig
from nodes.agent.currents import CurrentLinks
from nodes.agent.drain import Assigned, Changed, Drain, Registered
from nodes.agent.identity import MachineIdentity
from nodes.agent.inbox import Inbox
from nodes.agent.job import LocalJob
from nodes.agent.keeper import Keeper
from nodes.agent.keeping import Keeping
from nodes.agent.log import say
from nodes.agent.mover import Line, Mover
from nodes.agent.pulse import Pulse
from nodes.agent.rates import AllLimits, Flows, Meter
from nodes.agent.session import Session, connect
from nodes.agent.shard_server import ServerOptions, ShardServerChild
from nodes.agent.threads import ThreadPool
from nodes.agent.turns import Turns
from transfers.dataplane.names import STATE_DIR
from transfers.dataplane.peer import PeerClient
from transfers.dataplane.ratelimit import TokenBucket
from transfers.dataplane.store import Store
from transfers.dataplane.tls import PIN_MARK, make_identity
from transfers.errors import FdistError, StoreError
from transfers.scheduler import Scheduler
from transfers.scheduler.clock import RedisClock
from transfers.scheduler.types import Assignment, Heartbeat, HeartbeatReply, NodeInfo
from transfers.signing import is_signed_purge

if TYPE_CHECKING:
    from nodes.agent.metrics import AgentMetrics

logger = logging.getLogger(__name__)

VERSION = "0.1.0"
TICKET_KEY_BYTES = 32
UPLOAD_GRACE = 3.0  # seconds that readers get to finish when the agent leaves
DRAIN_STOP_TIMEOUT = 10.0
NUDGE_PATIENCE = 2.0  # seconds that a nudge waits for the scheduler to say what there is to do


class Agent:
    """One a process. `start` returns at once; the node is of use as soon as Redis knows it."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.node = config.name
        self.store = Store(config.data_dir, config.reuse)
        self._claim = _claim(config.data_dir)
        self._ticket_key = secrets.token_hex(TICKET_KEY_BYTES)
        self._stop_asked = False
        self._stopping = threading.Event()  # chores look at it
        self._nudges = 0  # drains that a nudge is about to start
        self._stop_lock = threading.Lock()
        self.caps = Caps(config, self._apply_caps)
        self.server = ShardServerChild(
            config.name,
            ServerOptions(
                data_dir=config.data_dir,
                host=config.listen_host,
                port=config.shard_port,
                rate=self.caps["upload_rate"],
                uploads=self.caps["upload_slots"],
                log_format=config.log_format,
            ),
            self._ticket_key,
            moved=self._server_moved,
            unreadable=self._unreadable,
            identity=None if config.peer_tls == "off" else make_identity(config.name),
        )
        self.metrics = _metrics(config)
        self.redis = connect(config.redis_url, config.redis_login)
        self._clock = RedisClock(self.redis)
        self.scheduler = Scheduler(self.redis, config.cell, clock=self._clock)
        identity = None if config.enrolment_key else MachineIdentity(config.cell, config.name)
        self.session = Session(self.scheduler, self._describe, config.enrolment_key, identity)
        self.intake = Meter()
        self.bucket_intake = Meter()
        self.sent = Meter()
        self.flows = Flows()
        self.download_limiter = TokenBucket(self.caps["download_rate"])
        self.bucket_limiter = TokenBucket(self.caps["gcs_rate"])
        self._peer_turns = Turns(self.caps["download_slots"])
        self._bucket_turns = Turns(self.caps["gcs_slots"])
        self._chores = ThreadPool("chore")
        self._movers = ThreadPool("mover")
        keeper = Keeper(self.session, self.store, config.coordinator_keys, self._stopping, self._job_changed)
        self.book = JobBook(self.session, keeper, self._chores)
        self.links = CurrentLinks(self.store, self.scheduler, config.name, self._links_changed)
        self.keeping = Keeping(
            self.store,
            config.quota,
            self.book,
            self.scheduler,
            self.redis,
            cell=config.cell,
            node=config.name,
            caps=self.caps.ordered,
            links=self.links.told,
            clock=self._clock,
        )
        self._bucket = LazyBucket(config.gcs_project, config.gcs_endpoint)
        mover = Mover(
            config.name,
            self._bucket,
            PeerClient(tls_only=config.peer_tls == "required"),
            # Bytes from the bucket come in over the same network link as those from peers.
            bucket_line=Line(
                AllLimits([self.bucket_limiter, self.download_limiter]), self.bucket_intake, self._bucket_turns
            ),
            peer_line=Line(self.download_limiter, self.intake, self._peer_turns),
            flows=self.flows,
            give_up=lambda transfer, why: self.book.give_up(transfer.job, why),
            fail_job=lambda transfer, why: self.book.fail(transfer.job, why),
            ended=self.metrics.transfer_ended if self.metrics else None,
        )
        self.drain_loop = Drain(
            self.session,
            self.book,
            mover,
            self._movers,
            slots=lambda: self.caps["download_slots"] + self.caps["gcs_slots"],
            idle_seconds=config.idle_seconds,
        )
        self._inbox = Inbox(self.scheduler, config.name, self._delivered)
        self._pulse = Pulse(
            self.session,
            config.heartbeat_seconds,
            measure=self._measure,
            registered=self._registered,
            answered=self._answered,
        )
        self._chaos = Chaos(config.name, config.test_fleet, set_rates=self._set_rates, find=self.book.get)
        self._starter = threading.Thread(target=self._start, name="starter", daemon=True)

    # --- life

    def start(self) -> None:
        """Start the shard server, then register and beat; waits for neither."""
        say(logger, logging.INFO, "agent starts", node=self.node, pid=os.getpid(), data=self.config.data_dir)
        if not self.config.coordinator_keys:
            say(logger, logging.WARNING, "no key of the coordinator is known: plans are not checked", node=self.node)
        self.server.start()
        self._starter.start()
        if self.metrics:
            self.metrics.serve(self)

    def _start(self) -> None:
        while not self.server.wait_ready():
            if self._stopping.is_set():
                return
            say(logger, logging.ERROR, "the shard server does not come up", node=self.node)
        self._pulse.start()
        if self.config.gcs_slots:
            self._bucket.load()

    def stop_taking(self) -> None:
        """Take no more work and stop the movers; takes no lock, so a signal's handler may call it."""
        self._stop_asked = True
        self.drain_loop.stop()

    def stop(self) -> None:
        """Leave the cell: no more work, a goodbye, a moment for readers, the end of the shard server."""
        with self._stop_lock:
            if self._claim < 0:
                return
            self.stop_taking()
            self._stopping.set()
            if not self.drain_loop.wait_idle(DRAIN_STOP_TIMEOUT):
                say(logger, logging.WARNING, "movers still run", node=self.node)
            self._chaos.close()
            self._inbox.close()
            self._pulse.stop(self.config.heartbeat_seconds + 1)
            self._leave()
            self.server.stop(UPLOAD_GRACE)
            if self.metrics:
                self.metrics.close()
            self._chores.close(1.0)
            self._movers.close(1.0)
            self.redis.close()
            os.close(self._claim)
            self._claim = -1
            say(logger, logging.INFO, "agent stopped", node=self.node)

    def _leave(self) -> None:
        if self.session.epoch is None:
            return
        try:
            self.scheduler.leave(self.node)
        except (redis.RedisError, FdistError) as error:  # it will be declared dead instead
            say(logger, logging.WARNING, "left without a goodbye", node=self.node, error=error)

    # --- work

    def drain(self, job: str) -> str:
        """Look for work now, and do it in this thread: what a nudge asks for. Gives why that ended.

        job: which job the nudge is about, for the log; what is open here is what the scheduler says.
        """
        if self._stop_asked:
            return "stopping"
        say(logger, logging.INFO, "nudged", node=self.node, job=job, draining=self.drain_loop.active)
        self._nudges += 1
        try:
            self._pulse.beat(NUDGE_PATIENCE)
            return self.drain_loop.run()
        finally:
            self._nudges -= 1

    def _ensure_drain(self) -> None:
        """A nudge may have been lost: where there is work and nobody at it, drain by ourselves."""
        if not (self._stop_asked or self._nudges or self.drain_loop.active) and self.book.unfinished():
            self._chores.submit(self._drain_unasked)

    def _drain_unasked(self) -> None:
        why = self.drain_loop.run()
        say(logger, logging.DEBUG, "drained without a nudge", node=self.node, why=why)

    # --- what others tell us, each in its own thread

    def _job_changed(self, job: LocalJob) -> None:
        self.keeping.changed(job.id)
        self.links.soon()
        self.drain_loop.post(Changed())

    def _links_changed(self) -> None:
        self.keeping.tell_soon()

    def _delivered(self, assignments: Sequence[Assignment]) -> None:
        self.drain_loop.post(Assigned(assignments))
        self._ensure_drain()

    def _registered(self, jobs: Iterable[str]) -> None:
        epoch = self.session.epoch
        self._tell_clock()
        if epoch is not None:
            self.drain_loop.post(Registered(epoch))
            self._inbox.open(epoch)
        self.book.want(jobs)
        self.keeping.changed()
        self._ensure_drain()

    def _answered(self, reply: HeartbeatReply) -> None:
        if reply.cancelled:
            self.drain_loop.stop_leases(reply.cancelled)
        if self.drain_loop.parked and not reply.parked:
            self.drain_loop.post(Changed())  # Redis has lost what we said last: ask again
        for order in reply.orders:
            if order.get("op") == CHAOS:
                self._chaos.obey(order)
            elif order.get("op") == "caps":
                self.caps.obey(order)
            elif order.get("op") != "purge" or self._is_wanted(order):
                self.book.obey(order)
        self._renew_identity()
        self.book.want(reply.jobs)
        self.book.retry_late()
        self.links.heard(reply.currents)
        if self.links.due:
            self._chores.submit(self.links.keep)
        if self.keeping.due:
            self._chores.submit(self.keeping.tell)
        self._ensure_drain()

    def _is_wanted(self, order: Mapping[str, Any]) -> bool:
        """Whether the coordinator itself wants files removed: whoever else can write to Redis cannot say so."""
        job = str(order.get("job"))
        if is_signed_purge(order.get("signature"), job, self.node, self.config.coordinator_keys):
            return True
        say(logger, logging.ERROR, "an order to remove files is not the coordinator's", node=self.node, job=job)
        return False

    def _apply_caps(self, caps: Mapping[str, int]) -> None:
        self.server.set_rate(caps["upload_rate"])
        self.server.set_uploads(caps["upload_slots"])
        self.download_limiter.set_rate(caps["download_rate"])
        self.bucket_limiter.set_rate(caps["gcs_rate"])
        self._peer_turns.set_slots(caps["download_slots"])
        self._bucket_turns.set_slots(caps["gcs_slots"])
        self.keeping.changed()
        self.drain_loop.post(Changed())  # there may be more slots

    def _set_rates(self, rate: int | None) -> None:
        """Cap sending and receiving at `rate` bit/s; None for what this node may use otherwise."""
        self.download_limiter.set_rate(rate or self.caps["download_rate"])
        self.server.set_rate(rate or self.caps["upload_rate"])

    def _renew_identity(self) -> None:
        """Some weeks before its end: peers learn the new one as they learn of a node that comes."""
        if self.server.identity is not None and self.server.identity.is_due():
            self.server.set_identity(make_identity(self.node))
            say(logger, logging.INFO, "a new certificate", node=self.node, pin=self.server.identity.pin)
            self._server_moved()

    def _server_moved(self) -> None:
        """Peers were told an address that is no longer ours."""
        self.session.lose(self.session.epoch)
        self._pulse.soon()

    def _unreadable(self, job: str, shard: int) -> None:
        """A reader found that bytes of a shard are gone here: look at it, and fetch it anew."""
        local = self.book.get(job)
        if local is not None:
            self.book.verify(local, [shard])

    # --- what we tell

    def _describe(self) -> NodeInfo:
        config, identity = self.config, self.server.identity
        host = f"[{config.advertise_host}]" if ":" in config.advertise_host else config.advertise_host
        return NodeInfo(
            name=config.name,
            address=f"{host}:{self.server.port}{f'{PIN_MARK}{identity.pin}' if identity else ''}",
            ticket_key=self._ticket_key,
            labels=config.labels,
            disk_total=self.store.total(),
            disk_free=self.store.free(),
            upload_slots=self.caps["upload_slots"],
            download_slots=self.caps["download_slots"],
            gcs_slots=self.caps["gcs_slots"],
            version=self.config.release or VERSION,
        )

    def _measure(self, epoch: int) -> Heartbeat:
        self.sent.add(max(self.server.ask_stats().get("sent", 0) - self.sent.total, 0))
        self._tell_clock()
        transfers = self.drain_loop.held()
        return Heartbeat(
            node=self.node,
            epoch=epoch,
            progress={t.lease: t.received for t in transfers if t.lease is not None},
            disk_free=self.store.free(),
            rate_up=self.sent.rate(),
            rate_down=self.intake.rate(),
            rate_gcs=self.bucket_intake.rate(),
            peer_rates=self.flows.rates(),
        )

    def _tell_clock(self) -> None:
        self.server.set_clock(self._clock() - int(time.time() * 1000))


def _metrics(config: AgentConfig) -> AgentMetrics | None:
    """Where they are not asked for, their library is not loaded."""
    if config.metrics is None:
        return None
    from nodes.agent.metrics import AgentMetrics

    return AgentMetrics(config.metrics)


def _claim(data_dir: Path) -> int:
    """Hold the data directory for this process: two agents in one would write over each other's bytes."""
    descriptor = os.open(data_dir / STATE_DIR / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(f"another agent uses {data_dir}; give each its own data directory") from None
    return descriptor
