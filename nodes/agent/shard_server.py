"""The shard server as the agent's child: started, watched, started again when it dies, ended with the agent."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nodes.agent.log import say
from nodes.agent.session import Backoff
from transfers.dataplane.tls import Identity

logger = logging.getLogger(__name__)

START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0
STEADY_AFTER = 10.0  # seconds that a child must live for its end not to count as a failed start
STALL_AFTER = 3.0  # seconds without a new byte until a shard that is passed on while it arrives is given up
PORT_TRIES = 3  # times that the port of the last child is tried before another is taken
CLOCK_STEP_MS = 100  # a smaller change of the clocks' difference is measuring error
SECRETS = (
    "FDIST_ENROLMENT_KEY",
    "REDIS_URL",
    "FDIST_BROKER_URL",
    "FDIST_SECRET_KEY",
    "DATABASE_URL",
    "FDIST_METRICS_TOKEN",
)


@dataclass(frozen=True)
class ServerOptions:
    """rate: bit/s, 0 for no cap. port: 0 lets the system choose at the first start; later starts keep it."""

    data_dir: Path
    host: str
    port: int
    rate: int
    uploads: int
    log_format: str = "line"


class ShardServerChild:
    """Supervises `python -m transfers.dataplane.server`.

    moved: called when the server came back on another port than before. unreadable: called with a job and a shard that
    the disk does not give any more. identity: with which it serves by TLS.
    """

    def __init__(
        self,
        node: str,
        options: ServerOptions,
        ticket_key: str,
        moved: Callable[[], None],
        unreadable: Callable[[str, int], None],
        identity: Identity | None = None,
    ) -> None:
        self.port = options.port
        self.stats: Mapping[str, int] = {}
        self.starts = 0
        self._node = node
        self._options = options
        self._key = ticket_key
        self._moved = moved
        self._unreadable = unreadable
        self._rate = options.rate
        self._uploads = options.uploads
        self._clock_offset = 0
        self._identity = identity
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._answered = threading.Event()
        self._orders = threading.RLock()  # what a child is started with, and its pipe
        self._child: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._supervise, name="shard-server", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process that serves now."""
        child = self._child
        return None if child is None else child.pid

    def start(self) -> None:
        self._thread.start()

    def wait_ready(self, timeout: float = START_TIMEOUT) -> bool:
        """Wait until a server listens and `port` is its port."""
        return self._ready.wait(timeout)

    def set_rate(self, rate_bits: int) -> None:
        """Cap all sending, now and after restarts; 0 lifts the cap."""
        with self._orders:
            self._rate = rate_bits
            self._tell(f"rate {rate_bits}")

    def set_uploads(self, count: int) -> None:
        """How many transfers may run at once, now and after restarts."""
        with self._orders:
            self._uploads = count
            self._tell(f"uploads {count}")

    @property
    def identity(self) -> Identity | None:
        """With which it serves by TLS; None in plain text."""
        return self._identity

    def set_identity(self, identity: Identity) -> None:
        """Serve new connections with another key and certificate, now and after restarts."""
        with self._orders:
            self._identity = identity
            self._tell(f"tls {_one_line(identity)}")

    def set_clock(self, offset_ms: int) -> None:
        """Say how far the scheduler's clock, by which tickets end, is ahead of ours; now and after restarts."""
        with self._orders:
            if abs(offset_ms - self._clock_offset) >= CLOCK_STEP_MS:
                self._clock_offset = offset_ms
                self._tell(f"clock {offset_ms}")

    def ask_stats(self, timeout: float = 0.5) -> Mapping[str, int]:
        """What the server counts (sent, active, ...); the last known when it does not answer in time."""
        self._answered.clear()
        self._tell("stats")
        self._answered.wait(timeout)
        return self.stats

    def stop(self, grace: float) -> None:
        """Let running uploads end for up to `grace` seconds, then end the child."""
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and self._ready.is_set() and self.ask_stats().get("active", 0):
            time.sleep(0.1)
        self._stopping.set()
        child = self._child
        if child is not None:
            self._end(child)
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT)

    def _supervise(self) -> None:
        backoff = Backoff(0.2, 5.0)
        failed = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            # A port that we were told to use is never given up; one that the system chose is, when it stays taken.
            port = self._options.port or (self.port if failed < PORT_TRIES else 0)
            self._run_once(port)
            if self._stopping.is_set():
                return
            if time.monotonic() - started > STEADY_AFTER:
                failed = 0
                backoff.reset()
            else:
                failed += 1
            say(logger, logging.ERROR, "shard server ended", node=self._node, starts=self.starts)
            self._stopping.wait(backoff.pause())

    def _run_once(self, port: int) -> None:
        """One child from start to end."""
        child = self._start(port)
        try:
            if child.stdout is not None:
                self._listen(child.stdout)
        finally:
            self._ready.clear()
            self._end(child)
            self._child = None

    def _start(self, port: int) -> subprocess.Popen[str]:
        """A child that knows its key and all that was ordered so far; whoever orders more meanwhile waits."""
        with self._orders:
            child = self._launch(port)
            self._child = child
            self.starts += 1
            self._tell(self._key)
            if self._identity:
                self._tell(_one_line(self._identity))
            self._tell(f"clock {self._clock_offset}")
            return child

    def _launch(self, port: int) -> subprocess.Popen[str]:
        options = self._options
        argv = [sys.executable, "-m", "transfers.dataplane.server", "--data-dir", str(options.data_dir)]
        argv += ["--host", options.host, "--port", str(port), "--rate", str(self._rate)]
        argv += ["--max-uploads", str(self._uploads), "--stall-after", str(STALL_AFTER)]
        argv += ["--tls"] if self._identity else []
        argv += ["--node", self._node, "--log-format", options.log_format]
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
        return subprocess.Popen(
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def _listen(self, stdout: IO[str]) -> None:
        """Take in what the child says until it ends."""
        for line in stdout:
            if line.startswith("ready "):
                before, self.port = self.port, int(line.split()[1])
                self._ready.set()
                say(logger, logging.INFO, "shard server ready", node=self._node, port=self.port)
                if self.starts > 1 and before != self.port:
                    self._moved()
            elif line.startswith("{"):
                self.stats = json.loads(line)
                self._answered.set()
            elif line.startswith("unreadable "):
                _, job, shard = line.split()
                self._unreadable(job, int(shard))

    def _tell(self, line: str) -> None:
        child = self._child
        if child is None or child.stdin is None:
            return
        with self._orders:
            try:
                child.stdin.write(f"{line}\n")
                child.stdin.flush()
            except (OSError, ValueError):  # it is ending; the supervisor starts another
                return

    def _end(self, child: subprocess.Popen[str]) -> None:
        """Close its input, which ends it; kill it if that does not."""
        with self._orders:
            if child.stdin is not None and not child.stdin.closed:
                with contextlib.suppress(OSError):  # it had ended with a line of ours unread
                    child.stdin.close()
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _one_line(identity: Identity) -> str:
    return base64.b64encode(identity.pem.encode()).decode()
