"""The whole of fdist on one machine."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console

from fdist_site.local.figures import Links, read_figures
from fdist_site.local.fleet import USER, LocalFleet, NodeOptions
from fdist_site.local.payload import Payload, model_payload
from fdist_site.local.processes import LocalError, terminate_as_interrupt
from fdist_site.local.progress import Watcher
from fdist_site.local.vitals import age, peak_memory
from transfers.management.arguments import FdistCommand, size_argument
from transfers.reached import Figures, summary
from transfers.terminal import follow, polled
from transfers.words import duration_text, parse_rate, size_text

BUCKET = "models"
PREFIX = "demo-7b"
MOST_NODES = 64
SPARE_DISK = 10**9
VARIABLES = "env"  # in its directory while it stays up: what the command line needs to speak to it
INTERRUPTED = 130
KEEP_CHECK_SECONDS = 1.0
LOOK_SECONDS = 0.4


def rate(text: str) -> str:
    try:
        parse_rate(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


class Command(FdistCommand):
    help = """Run a whole fleet on this machine and distribute a model to it, by pipeline and by mesh.

Nothing is mocked: a Valkey server, a bucket emulator, the coordinator, the web server and an agent with a shard server
for each node are started as processes on free ports, with their data in a directory that is removed at the end. Jobs
are submitted by the REST API. Every file on every node is compared with its source by sha256.

REDIS_URL     your own Redis or Valkey, instead of one that is started
DATABASE_URL  your own database, instead of a SQLite file

examples:
  demo --nodes 12 --size 1GB
  demo --topology mesh --rate 1gbit --keep      then look at the live page, or use `fdist` from another terminal, and
                                                stop it with Ctrl-C"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--nodes", type=int, default=6, help="how many")
        parser.add_argument("--size", type=size_argument, default="512MB", help="of the payload")
        parser.add_argument("--rate", type=rate, default="300mbit", help="cap per node, up and down; 0 for none")
        parser.add_argument("--gcs-rate", type=rate, help="cap on a node's reads from the bucket; as --rate by default")
        parser.add_argument("--gcs-slots", type=int, default=8, help="reads from the bucket at once")
        parser.add_argument("--shard-size", type=size_argument, help="such as 4MiB; chosen by the payload's size")
        parser.add_argument("--topology", choices=["both", "mesh", "pipeline"], default="both")
        parser.add_argument("--dir", type=Path, help="keep data and logs here instead of in a temporary directory")
        parser.add_argument("--keep", action="store_true", help="stay up at the end, until Ctrl-C")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["nodes"] <= MOST_NODES:
            raise CommandError(f"--nodes is {options['nodes']} and must be between 1 and {MOST_NODES}")
        console = Console(file=sys.stdout)
        try:
            with terminate_as_interrupt(), directory(options["dir"]) as root:
                check_space(root, options)
                good = Demo(console, root, options).run()
        except KeyboardInterrupt:
            console.print("stopped; no process is left")
            raise SystemExit(INTERRUPTED) from None
        except LocalError as error:
            raise CommandError(str(error)) from error
        if not good:
            raise SystemExit(1)


@contextmanager
def directory(given: Path | None) -> Iterator[Path]:
    """The directory that was asked for, or one that is removed at the end."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    made = Path(tempfile.mkdtemp(prefix="fdist-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_space(root: Path, options: dict[str, Any]) -> None:
    topologies = 2 if options["topology"] == "both" else 1
    needed = options["size"] * (1 + options["nodes"] * topologies) + SPARE_DISK
    free = shutil.disk_usage(root).free
    if free < needed:
        raise CommandError(
            f"{root} has {size_text(free)} free and {options['nodes']} copies of the payload a topology need "
            f"{size_text(needed)}; take a smaller --size or fewer --nodes, or another disk with --dir"
        )


class Demo:
    """One run, from nothing to the summary."""

    def __init__(self, console: Console, root: Path, options: dict[str, Any]) -> None:
        self.console = console
        self.root = root
        self.options = options
        self.began = time.monotonic() - age()
        gcs_rate = options["gcs_rate"] if options["gcs_rate"] is not None else options["rate"]
        self.node_options = NodeOptions(rate=options["rate"], gcs_rate=gcs_rate)
        self.links = Links(_bytes(options["rate"]), _bytes(gcs_rate), options["gcs_slots"])
        self.nodes = [f"node-{number + 1:02d}" for number in range(options["nodes"])]
        self.memory = 0
        self.first_byte: float | None = None

    def run(self) -> bool:
        """Gives whether every file on every node was right."""
        topologies = ["pipeline", "mesh"] if self.options["topology"] == "both" else [self.options["topology"]]
        environment = os.environ
        with LocalFleet(
            self.root,
            options=self.node_options,
            redis_url=environment.get("REDIS_URL", ""),
            database_url=environment.get("DATABASE_URL", ""),
        ) as fleet:
            payload, source = self._set_up(fleet)
            good, figures = True, []
            for topology in topologies:
                right, reached = self._distribute(fleet, payload, source, topology)
                good = good and right
                if reached:
                    figures.append(reached)
            self._sum_up(fleet, figures)
            if self.options["keep"]:
                self._stay(fleet)
            self._say("stopping")
        return good

    def _say(self, text: str) -> None:
        self.console.print(
            f"[dim]{time.monotonic() - self.began:6.1f} s[/dim]  {text}", highlight=False, soft_wrap=True
        )

    def _set_up(self, fleet: LocalFleet) -> tuple[Payload, str]:
        """Everything up and the payload in the bucket; what does not need the other goes on at the same time."""
        payload = model_payload(self.options["size"])
        self._say(f"starting Redis and the bucket in {self.root}")
        fleet.start_stores()
        self._say(
            f"putting {size_text(payload.size)} in {len(payload.files)} files into gs://{BUCKET}/{PREFIX}/, "
            f"and starting the coordinator, the web server and {len(self.nodes)} agents"
        )
        upload = Background(lambda: payload.upload(fleet.gcs, BUCKET, PREFIX))
        fleet.launch_site()
        for node in self.nodes:
            fleet.start_agent(node)
        fleet.wait_site()
        self._say("the web server answers")
        fleet.wait_live(*self.nodes)
        self._say("every agent has registered")
        source = upload.result()
        self._say(f"ready; pages at {fleet.web_url}  user {USER}, password {fleet.password}")
        return payload, source

    def _distribute(
        self, fleet: LocalFleet, payload: Payload, source: str, topology: str
    ) -> tuple[bool, Figures | None]:
        self.console.rule(topology)
        destination = f"{topology}/{PREFIX}"
        wanted = {"destination": destination, "gcs_slots": self.options["gcs_slots"], "name": f"demo by {topology}"}
        if self.options["shard_size"]:
            wanted["shard_size"] = self.options["shard_size"]
        job = fleet.submit(source, topology, **wanted)
        submitted = time.monotonic() - self.began
        self._say(f"submitted by the REST API; live page {fleet.web_url}jobs/{job}/")
        watcher = Watcher(fleet.scheduler, job)
        end = follow(polled(watcher.look, LOOK_SECONDS, lambda: self._check(fleet)), self.console)
        if self.first_byte is None and watcher.first_byte is not None:
            self.first_byte = submitted + watcher.first_byte
        if end.state != "complete":
            self._say(f"[red]the job {end.state}: {end.reason}[/red]; logs are in {self.root / 'logs'}")
            return False, None
        problems = self._compare(fleet, payload, destination)
        for problem in problems[:10]:
            self._say(f"[red]{problem}[/red]")
        if not problems:
            self._say(f"sha256 of {len(payload.files)} files is right on each of {len(self.nodes)} nodes")
        return not problems, read_figures(fleet.scheduler, job, self.links)

    def _check(self, fleet: LocalFleet) -> None:
        fleet.group.check()
        pids = [fleet.group.processes[node].pid for node in self.nodes]
        self.memory = max([self.memory, *(peak_memory(pid) for pid in pids)])

    def _compare(self, fleet: LocalFleet, payload: Payload, destination: str) -> list[str]:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            found = pool.map(lambda node: payload.problems(fleet.data_dir(node) / destination), self.nodes)
            return [problem for problems in found for problem in problems]

    def _sum_up(self, fleet: LocalFleet, figures: list[Figures]) -> None:
        self.console.rule()
        self.console.print(summary(figures))
        caps = f"links of {self.options['rate']} per node, bucket reads of {self.node_options.gcs_rate}"
        self.console.print(f"{len(self.nodes)} nodes, {size_text(self.options['size'])}, {caps}", highlight=False)
        if self.memory:
            self.console.print(f"peak memory of an agent with its shard server: {size_text(self.memory)}")
        if self.first_byte is not None:
            self.console.print(f"first byte moved {duration_text(self.first_byte)} after the start", highlight=False)
        self.console.print(f"web page: {fleet.web_url}  user {USER}, password {fleet.password}", highlight=False)

    def _stay(self, fleet: LocalFleet) -> None:
        """Until Ctrl-C, which is the good end here, or until a process fails."""
        variables = self.root / VARIABLES
        variables.touch(mode=0o600)
        variables.write_text(f"export FDIST_URL={fleet.web_url} FDIST_TOKEN={fleet.token}\n")
        self._say(f"for `fdist` in another terminal: source {variables}")
        self._say("everything stays up; Ctrl-C stops it")
        try:
            while True:
                fleet.group.check()
                time.sleep(KEEP_CHECK_SECONDS)
        except KeyboardInterrupt:
            return
        finally:
            variables.unlink(missing_ok=True)


class Background:
    """A function in a thread that does not keep the program alive."""

    def __init__(self, work: Callable[[], str]) -> None:
        self._work = work
        self._answer = ""
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> str:
        self._thread.join()
        if self._error is not None:
            raise LocalError(f"the payload could not be put into the bucket: {self._error}") from self._error
        return self._answer

    def _run(self) -> None:
        try:
            self._answer = self._work()
        except Exception as error:  # handed over to the thread that asks for the result
            self._error = error


def _bytes(text: str) -> float | None:
    bits = parse_rate(text)
    return bits / 8 if bits else None
