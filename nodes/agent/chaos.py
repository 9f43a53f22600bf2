"""What a node does to itself when it is told to, so that people see whether their jobs hold. On a test fleet only.

{"op": "chaos", "act": "kill"}                                      ends this agent as a power cut would
{"op": "chaos", "act": "slow", "rate": bit/s, "seconds": 60}        caps what it sends and receives for a while
{"op": "chaos", "act": "corrupt", "job": id, "shards": 1}           damages verified shards of a job on its disk
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

from nodes.agent.job import LocalJob
from nodes.agent.log import say

logger = logging.getLogger(__name__)

OP = "chaos"
DAMAGE = 64  # bytes that are turned over in a shard


class Chaos:
    """enabled: whether this agent was started as one of a test fleet; it refuses otherwise.

    set_rates: called with a cap in bit/s for sending and receiving, None for what the node was started with.
    find: the job of that id, if this node has it.
    """

    def __init__(
        self,
        node: str,
        enabled: bool,
        *,
        set_rates: Callable[[int | None], None],
        find: Callable[[str], LocalJob | None],
    ) -> None:
        self._node = node
        self._enabled = enabled
        self._set_rates = set_rates
        self._find = find
        self._timer: threading.Timer | None = None

    def obey(self, order: Mapping[str, Any]) -> None:
        if not self._enabled:
            say(logger, logging.ERROR, "chaos refused: this agent is of no test fleet", node=self._node)
            return
        say(logger, logging.WARNING, "chaos", node=self._node, **{k: v for k, v in order.items() if k != "op"})
        match order:
            case {"act": "kill"}:
                os.kill(os.getpid(), signal.SIGKILL)
            case {"act": "slow", "rate": int(rate), "seconds": int(seconds)}:
                self._slow(rate, seconds)
            case {"act": "corrupt", "job": str(job), "shards": int(shards)}:
                self._corrupt(job, shards)
            case _:
                say(logger, logging.ERROR, "chaos not understood", node=self._node, order=dict(order))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _slow(self, rate: int, seconds: int) -> None:
        self.close()
        self._set_rates(rate)
        self._timer = threading.Timer(seconds, self._set_rates, [None])
        self._timer.daemon = True
        self._timer.start()

    def _corrupt(self, name: str, wanted: int) -> None:
        job = self._find(name)
        if job is None or not job.prepared:
            say(logger, logging.WARNING, "nothing to damage", node=self._node, job=name)
            return
        store = job.store
        shards = sorted(store.verified)[:wanted]
        for shard in shards:
            segment = store.layout.file_segments(shard)[0]
            descriptor = store.folder.open_file(segment.index, os.O_RDWR)
            try:
                length = min(DAMAGE, segment.length)
                good = os.pread(descriptor, length, segment.offset)
                os.pwrite(descriptor, bytes(byte ^ 0xFF for byte in good), segment.offset)
            finally:
                os.close(descriptor)
        say(logger, logging.WARNING, "damaged on purpose", node=self._node, job=name, shards=shards)
