"""What an assignment costs the scheduler's Redis: python -m tests.bench.scheduler

Real functions in a real server. Nodes hold a random half of a job; clients end one node's transfers and take its next
ones, call after call, with no bytes behind them. Who asks for one may be given two (lib/followers.lua). Printed beside
the rate of a script that does nothing, over the same connections in the same run, since both depend on the machine; the
server's time counts when it has to wait for a core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import hiredis
import redis

from tests.own_redis import own_redis
from transfers.scheduler import Scheduler
from transfers.scheduler.scripts import function
from transfers.scheduler.types import JobSpec, NodeInfo

JOB = "b" * 32
SHARD_SIZE = 64 * 2**20
KEY = "bench"
NOW = 1_800_000_000_000


@dataclass(frozen=True)
class Figures:
    """us: of the server, for one assignment. a_call: assignments given in a call. attempts: pairs of nodes looked at
    for one assignment."""

    assigned: int
    a_call: float
    seconds: float
    us: float
    attempts: float
    memory_mb: float

    @property
    def rate(self) -> float:
        return self.assigned / self.seconds


class Fleet:
    """Nodes in the middle of a job, and their transfers under way."""

    def __init__(self, client: redis.Redis, nodes: int, shards: int, slots: int) -> None:
        self.client = client
        self.slots = slots
        self.now = NOW
        self.dice = random.Random(1)
        self.scheduler = Scheduler(client, clock=lambda: self.now, random=self.dice)
        self.scheduler.set_enrolment_keys([hashlib.sha256(KEY.encode()).hexdigest()])
        self.prefix = "{fdist:main}:"
        names = [f"n{i:05d}" for i in range(nodes)]
        self.epochs = {name: self._register(name) for name in names}
        empty = used_memory(client)
        self.scheduler.create_job(JobSpec(JOB, "mesh", shards, SHARD_SIZE, shards * SHARD_SIZE), "{}")
        self.scheduler.enrol(JOB, names)
        for name in names:
            held = {shard: shard for shard in range(shards) if self.dice.random() < 0.5}
            self.scheduler.announce(JOB, name, self.epochs[name], held)
        self.ready: deque[tuple[str, list[tuple[str, int]]]] = deque()
        for name in names:
            given = self.scheduler.next(name, self.epochs[name], want=slots).assignments
            if given:
                self.ready.append((name, [(each.lease, each.shard) for each in given]))
        self.memory_mb = (used_memory(client) - empty) / 1e6
        self.asked = 0

    def _register(self, name: str) -> int:
        info = NodeInfo(name, "10.0.0.1:7400", "ab" * 32, upload_slots=self.slots, download_slots=self.slots)
        return self.scheduler.register(info, KEY).epoch

    def call(self) -> tuple[str, tuple[Any, ...]] | None:
        """A node whose transfers end, and what it says; None when all that were given are being told of."""
        if not self.ready:
            return None
        name, leases = self.ready.popleft()
        self.now += 1
        self.asked += 1
        arguments: list[Any] = [self.now, self.dice.getrandbits(31), name, self.epochs[name], self.asked, self.slots]
        for lease, shard in leases:
            arguments += (lease, "ok", shard, SHARD_SIZE, 1000, "", "")
        return name, ("FCALL", function("next"), 1, self.prefix, *arguments)

    def answered(self, name: str, reply: list[bytes]) -> int:
        given = [json.loads(each) for each in reply[1:]]
        if given:
            self.ready.append((name, [(each["lease"], each["shard"]) for each in given]))
        return len(given)


@contextmanager
def server() -> Iterator[tuple[redis.Redis, int]]:
    """A new server, and its port."""
    with own_redis() as own, own.client() as client:
        yield client, client.connection_pool.connection_kwargs["port"]


def used_memory(client: redis.Redis) -> int:
    """Of the data, and of what the server's Lua remembers."""
    memory = client.info("memory")
    return int(memory["used_memory"]) + int(memory.get("used_memory_vm_total", 0))


def server_us(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_fcall", {}).get("usec", 0))


def drive(port: int, clients: int, calls: int, ask: Callable[[], Any], told: Callable[[Any, Any], None]) -> float:
    """Make `calls` calls over `clients` connections, each with one call under way; gives the seconds they took.

    ask: (what to remember, the command) or None for nothing now. told: is given what was remembered, and the answer.
    """
    waiting: dict[socket.socket, Any] = {}
    with selectors.DefaultSelector() as selector:
        idle = []
        readers = {}
        for _ in range(clients):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            readers[connection] = hiredis.Reader()
            selector.register(connection, selectors.EVENT_READ)
            idle.append(connection)
        started, made = time.perf_counter(), 0
        while True:
            while idle and made < calls and (next_call := ask()) is not None:
                connection = idle.pop()
                waiting[connection], command = next_call
                connection.sendall(hiredis.pack_command(tuple(str(part) for part in command)))
                made += 1
            if not waiting:
                break
            for connection in ready(selector):
                readers[connection].feed(connection.recv(65536))
                answer = readers[connection].gets()
                if answer is not False:
                    told(waiting.pop(connection), answer)
                    idle.append(connection)
        seconds = time.perf_counter() - started
        for connection in readers:
            connection.close()
    return seconds


def ready(selector: selectors.BaseSelector) -> Iterator[socket.socket]:
    for key, _ in selector.select():
        yield key.fileobj  # type: ignore[misc]


def bare_rate(client: redis.Redis, port: int, clients: int, calls: int) -> float:
    """Calls a second of a script that does nothing."""
    sha = client.script_load("return 1")
    return calls / drive(port, clients, calls, lambda: (None, ("EVALSHA", sha, 0)), lambda _, __: None)


def measure(client: redis.Redis, port: int, clients: int, nodes: int, shards: int, slots: int, calls: int) -> Figures:
    """On a server of its own: what an earlier fleet left in the server's Lua would be collected at this one's cost."""
    fleet = Fleet(client, nodes, shards, slots)
    before = fleet.scheduler.overview()
    us = server_us(client)
    given = []

    def told(name: str, reply: Any) -> None:
        if isinstance(reply, Exception):
            raise reply
        given.append(fleet.answered(name, reply))

    seconds = drive(port, clients, calls, fleet.call, told)
    after = fleet.scheduler.overview()
    assigned = after["assigned"] - before["assigned"]
    attempts = (after["attempts"] - before["attempts"]) / assigned
    return Figures(assigned, assigned / calls, seconds, (server_us(client) - us) / assigned, attempts, fleet.memory_mb)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduler", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[16, 100, 1000, 10_000])
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument(
        "--slots", type=int, nargs="+", default=[1, 4], help="transfers that a node asks for in one call"
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--calls", type=int, default=10_000)
    args = parser.parse_args()
    with server() as (client, port):
        bare = bare_rate(client, port, args.clients, 4 * args.calls)
        started = time.perf_counter()
        sha = client.script_load("return 1")
        for _ in range(2000):
            client.evalsha(sha, 0)
        trip = (time.perf_counter() - started) / 2000 * 1e6
        print(
            f"a script that does nothing: {bare:,.0f} calls/s over {args.clients} connections, round trip {trip:.0f} us"
        )
        print(f"{args.shards} shards, half of them held everywhere; {args.calls} calls of next each")
        print(" nodes   asked  given  us/assignment  of a bare trip  assignments/s  of bare  attempts  memory MB")
    for slots in args.slots:
        for nodes in args.nodes:
            # half of what is needed, if all are given two: no job's end
            calls = min(args.calls, nodes * args.shards // (8 * slots))
            with server() as (client, port):
                f = measure(client, port, args.clients, nodes, args.shards, slots, calls)
            print(
                f"{nodes:6}  {slots:6}  {f.a_call:5.2f}  {f.us:13.1f}  {f.us / trip:14.2f}  {f.rate:13,.0f}"
                f"  {f.rate / bare:7.2f}  {f.attempts:8.2f}  {f.memory_mb:9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
