"""Child processes that never outlive us: each in a group of its own, logged to a file, killed with all it started."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from transfers.errors import FdistError

WARDEN = Path(__file__).with_name("warden.py")
STOP_GRACE = 10.0  # seconds between SIGTERM and SIGKILL
POLL = 0.05
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LEAST_PORT = 10_000
PORT_TRIES = 50


class LocalError(FdistError):
    """A local process could not be started, or ended when it should not have."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment.

    Where that can be, it is one that the system gives to no connection by itself: a server that is started again would
    find its port taken by some client of another, or by one of its own, which while it is away reach themselves on it.
    """
    chance = random.SystemRandom()  # two that ask at once, with the same seed, are not to get the same
    given = _given_ports()
    for port in (chance.randrange(LEAST_PORT, given) for _ in range(PORT_TRIES if given > LEAST_PORT else 0)):
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _given_ports() -> int:
    """The first of the ports that the system gives to connections; 0 where it does not say."""
    try:
        return int(PORT_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Return when the condition holds; raises LocalError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LocalError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(POLL)


class LocalProcess:
    """One child in a process group of its own.

    Its exit is noticed without reaping it, so that its group's id cannot be given to strangers before we signal it.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.popen = popen
        self.log = log
        self.pid = popen.pid

    def running(self) -> bool:
        if self.popen.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def send(self, number: signal.Signals) -> None:
        """Signal the child alone; nothing happens if it has ended."""
        if self.running():
            os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """Signal the child and all that it started."""
        if self.popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def reap(self) -> int:
        """Kill what is left of the group and collect the exit status."""
        self.send_group(signal.SIGKILL)
        return self.popen.wait()

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class ProcessGroup:
    """Named children with their logs in one directory; leaving the `with` block stops them all.

    Signals that the terminal sends (Ctrl-C) reach only us, so the order of the shutdown is ours.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.processes: dict[str, LocalProcess] = {}
        self._lock = threading.Lock()
        log_dir.mkdir(parents=True, exist_ok=True)
        self._warden = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WARDEN)], stdin=subprocess.PIPE, start_new_session=True, close_fds=True
        )

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(
        self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> LocalProcess:
        """Start a child whose output is appended to <log_dir>/<name>.log."""
        if name in self.processes:
            raise LocalError(f"a process named {name} runs already")
        log = self.log_dir / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [str(part) for part in argv],
                env=dict(env) if env is not None else None,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tell_warden(f"+{popen.pid}")
        process = LocalProcess(name, popen, log)
        with self._lock:
            self.processes[name] = process
        return process

    def stop(self, name: str, grace: float = STOP_GRACE) -> int:
        """SIGTERM, then SIGKILL after `grace` seconds; returns the exit status."""
        process = self.processes[name]
        process.send(signal.SIGTERM)
        return self._collect(process, time.monotonic() + grace)

    def kill(self, name: str) -> int:
        """SIGKILL to the child and all it started, as a power cut would."""
        process = self.processes[name]
        process.send_group(signal.SIGKILL)
        return self._collect(process, time.monotonic())

    def check(self) -> None:
        """Raise LocalError, with the end of its log, if any child has ended by itself."""
        for process in list(self.processes.values()):
            if not process.running():
                status = process.popen.poll()
                raise LocalError(f"{process.name} ended with status {status}; its log ends:\n{process.log_tail()}")

    def close(self, grace: float = STOP_GRACE, last: Sequence[str] = ()) -> None:
        """Stop every child, all at once, but those named in `last` after the others; safe to call twice."""
        try:
            self._stop_all([each for each in self.processes.values() if each.name not in last], grace)
            self._stop_all(list(self.processes.values()), grace)
        finally:
            for process in list(self.processes.values()):  # a second Ctrl-C cut the wait short
                self._collect(process, 0.0)
            if self._warden.stdin and not self._warden.stdin.closed:
                self._warden.stdin.close()
            self._warden.wait()

    def _stop_all(self, children: Sequence[LocalProcess], grace: float) -> None:
        for process in children:
            process.send(signal.SIGTERM)
        deadline = time.monotonic() + grace
        for process in children:
            self._collect(process, deadline)

    def _collect(self, process: LocalProcess, deadline: float) -> int:
        while process.running() and time.monotonic() < deadline:
            time.sleep(POLL)
        status = process.reap()
        self._tell_warden(f"-{process.pid}")
        with self._lock:
            self.processes.pop(process.name, None)
        return status

    def _tell_warden(self, line: str) -> None:
        stdin = self._warden.stdin
        if stdin is None or stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError), self._lock:
            stdin.write(f"{line}\n".encode())
            stdin.flush()


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Inside the block SIGTERM and SIGHUP act as Ctrl-C does, so that `with` blocks clean up. Main thread only."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
