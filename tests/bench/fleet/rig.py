"""The hosts, the payload and the directories that every method gets: the same for all, in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fdist_site.local.processes import ProcessGroup
from tests.bench.fleet.namespaces import Namespaces
from tests.bench.fleet.scenario import Scenario

PIECE = 1024 * 1024
LARGEST_FILE = 256 * 10**6
PROBE_SECONDS = 3.0
LOOK_SECONDS = 0.25
MEMORY = Path("/dev/shm")  # noqa: S108  (no disk is to be measured)


class Rig:
    """`nodes` hosts, and one more for the origin, whose number is `origin`.

    root: a directory in memory, one folder a host and one for the payload. net: the hosts; new namespaces by default.
    """

    def __init__(self, root: Path, nodes: int, size: int, net: Namespaces | None = None) -> None:
        self.root = root
        self.nodes = nodes
        self.size = size
        self.origin = nodes
        self.net = net or Namespaces("bench", nodes + 1, 0)
        self.group = ProcessGroup(root / "logs")
        self.payload = root / "payload"
        self.files = make_payload(self.payload, size)
        self.share = 0.0

    def __enter__(self) -> Rig:
        self.net.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.group.close()
        finally:
            self.net.__exit__(None, None, None)

    def shape(self, scenario: Scenario) -> None:
        """Give every link the rate that the scenario has for it."""
        self.net.set_rates({**scenario.slow, self.origin: scenario.origin_rate}, scenario.rate)

    def measure_share(self, rate: int) -> float:
        """What the payload of one TCP connection gets of a link of this rate."""
        self.net.set_rates({}, rate)
        amount = int(rate / 8 * PROBE_SECONDS)
        module = [sys.executable, "-m", "tests.bench.fleet.probe"]
        target = self.net.address(0)
        with subprocess.Popen([*self.net.prefix(0), *module, "sink", target], stdout=subprocess.PIPE) as sink:
            if sink.stdout is None:
                raise RuntimeError("a probe without an output")
            sink.stdout.readline()
            source = [*self.net.prefix(self.origin), *module, "source", target, str(amount)]
            subprocess.run(source, check=True)
            self.share = float(sink.stdout.readline()) * 8 / rate
        return self.share

    @contextmanager
    def folders(self, method: str) -> Iterator[list[Path]]:
        """A fresh directory for each node, removed at the end."""
        top = self.root / method
        shutil.rmtree(top, ignore_errors=True)
        made = [top / f"node-{node:02d}" for node in range(self.nodes)]
        for folder in made:
            folder.mkdir(parents=True)
        try:
            yield made
        finally:
            shutil.rmtree(top, ignore_errors=True)


def make_payload(folder: Path, size: int) -> list[Path]:
    """Files of random bytes of `size` bytes in all."""
    folder.mkdir(parents=True)
    files = []
    while size:
        length = min(size, LARGEST_FILE)
        size -= length
        path = folder / f"model-{len(files) + 1:05d}.bin"
        files.append(path)
        with path.open("wb") as file:
            while length:
                length -= file.write(os.urandom(min(PIECE, length)))
    return files


@contextmanager
def memory_directory(prefix: str) -> Iterator[Path]:
    """A directory in memory, or in the usual place where there is none, removed at the end."""
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of all that it started, so far; 0 for one that is gone."""
    proc = Path("/proc") / str(pid)
    try:
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        children = [child for task in (proc / "task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return 0.0
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # with that of children that were waited for
    return own + sum(cpu_seconds(int(child)) for child in children)


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 300.0) -> None:
    """Return when the condition holds, looking seldom, since the processor is what is scarce."""
    give_up = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(LOOK_SECONDS)
