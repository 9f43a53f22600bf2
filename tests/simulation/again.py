"""A run's commands made again, one right after the other: what the scheduler costs a server that has no time to sleep.

A simulation thinks between its calls. Its server sleeps then, and takes a call up with cold caches, and on a virtual
machine with a core that has to be woken: that doubles the time of a call. At the scheduler's limit nothing sleeps.
What else the simulator asked its server between the calls is asked again too; but this server is not made to tell of
what it puts into inboxes, for which the simulator listens.
"""

from __future__ import annotations

import socket
from array import array
from typing import IO, Any

import hiredis
import redis

from tests.simulation.meter import script_time

UNDER_WAY = 32  # commands sent before their answers are awaited
OF_ALL_KEYS = (b"FLUSHDB", b"SWAPDB")  # how faults make Redis lose what it had


class Recorder(redis.Redis):
    """A client that keeps what it asks of a cell, in a file.

    Also what was answered with an error: a script that turned somebody away left its mark.
    """

    def __init__(self, pool: redis.ConnectionPool, file: IO[bytes]) -> None:
        super().__init__(connection_pool=pool)
        self.file = file
        self.lengths = array("L")

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)
        finally:
            self._keep(args)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        pipe = super().pipeline(transaction, shard_hint)
        execute = pipe.execute

        def kept(raise_on_error: bool = True) -> Any:
            commands = [args for args, _ in pipe.command_stack]
            try:
                return execute(raise_on_error)
            finally:
                for args in commands:
                    self._keep(args)

        pipe.execute = kept
        return pipe

    def _keep(self, args: tuple[Any, ...]) -> None:
        words = [word if isinstance(word, bytes) else str(word).encode() for word in args]
        if words[0] in OF_ALL_KEYS or any(word.startswith(b"{fdist:") for word in words):
            packed = hiredis.pack_command(tuple(words))
            self.file.write(packed)
            self.lengths.append(len(packed))


def once_more(client: redis.Redis, recorder: Recorder) -> int:
    """Make the recorded commands again; gives the server's microseconds in scripts (INFO commandstats).

    client: of a server that has the scripts, and nothing else.
    """
    where = client.connection_pool.connection_kwargs
    recorder.file.seek(0)
    before = script_time(client)[1]
    with socket.create_connection((where["host"], where["port"])) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = hiredis.Reader()
        for first in range(0, len(recorder.lengths), UNDER_WAY):
            lengths = recorder.lengths[first : first + UNDER_WAY]
            connection.sendall(recorder.file.read(sum(lengths)))
            awaited = len(lengths)
            while awaited:
                if reader.gets() is False:
                    reader.feed(connection.recv(1 << 16))
                else:
                    awaited -= 1
    return script_time(client)[1] - before
