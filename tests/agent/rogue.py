"""A node that lies: the scheduler has it as a holder of every shard, and what it sends is what a test wants."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from tests.agent.fleet import KEY, Fleet, Payload
from transfers.dataplane.digest import crc32c
from transfers.scheduler.types import Heartbeat, NodeInfo

PATH = re.compile(rb"GET /v1/jobs/\w+/shards/(\d+) HTTP/1.1")
RANGE = re.compile(rb"[Rr]ange: bytes=(\d+)-")

Lie = Callable[[socket.socket, bytes, bytes], None]
"""Answers on a connection, given the bytes that were asked for, and those of another shard."""


class Rogue:
    def __init__(self, fleet: Fleet, payload: Payload, lie: Lie) -> None:
        self.asked = 0
        self._fleet = fleet
        self._shards = _shards(payload)
        self._lie = lie
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ending = threading.Event()
        self.epoch = 0

    def start(self, name: str) -> None:
        address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        info = NodeInfo(name=name, address=address, ticket_key="ab" * 16, upload_slots=4)
        self.epoch = self._fleet.scheduler.register(info, KEY).epoch
        threading.Thread(target=self._beat, args=(name,), daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_all(self, job: str, name: str) -> None:
        self._fleet.scheduler.enrol(job, [name])
        digests = {shard: crc32c(data) for shard, data in self._shards.items()}
        self._fleet.scheduler.announce(job, name, self.epoch, digests)

    def close(self) -> None:
        self._ending.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _beat(self, name: str) -> None:
        while not self._ending.wait(0.5):
            self._fleet.scheduler.heartbeat(Heartbeat(node=name, epoch=self.epoch))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := connection.recv(65536):
                match, resumed = PATH.search(request), RANGE.search(request)
                if match is None:
                    return
                self.asked += 1
                shard, offset = int(match[1]), int(resumed[1]) if resumed else 0
                other = self._shards[(shard + 1) % len(self._shards)]
                self._lie(connection, self._shards[shard][offset:], other[offset:])


@contextmanager
def rogue(fleet: Fleet, payload: Payload, lie: Lie, name: str) -> Iterator[Rogue]:
    node = Rogue(fleet, payload, lie)
    node.start(name)
    try:
        yield node
    finally:
        node.close()


def _shards(payload: Payload) -> Mapping[int, bytes]:
    run = b"".join(payload.contents.values())
    ranges = map(payload.layout.shard_range, range(payload.layout.shard_count))
    return {shard: run[start : start + length] for shard, (start, length) in enumerate(ranges)}
