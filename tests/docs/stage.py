"""A small real fleet on which the documents' commands are run, and the names that pages have for its parts."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from fdist_site.local.fleet import LocalFleet, NodeOptions
from fdist_site.local.payload import model_payload
from fdist_site.local.processes import free_port, wait_until
from tests.docs import checks
from tests.docs.blocks import SHELL, Block, missing_lines
from tests.docs.cloud import DocumentsCloud
from tests.played import machine
from tests.played.programs import Answer, Call, Play, Programs, Refused
from tests.postgresql import MISSING, PROGRAMS, is_installed, postgresql
from tests.terraform.environment import Unavailable
from tests.terraform.terraform import Terraform
from transfers.client import Fdist

PROJECT = Path(__file__).resolve().parents[2]
NODES = ("gpu-07", "gpu-08")
LABELS = "zone=a,kind=h100"
METRICS_TOKEN = "the-token-of-the-documents"
SECONDS = 90
PSQL = 'psql "$DATABASE_URL"'
POSTGRESQL = "postgres://fdist:secret@127.0.0.1:5432/fdist"
FOLDERS = re.compile(r"(?<![\w.$-])(?<!\w/)/(?:var/lib/fdist(?:/record\.sqlite3)?|data|tmp/[\w-]+)\b")
JOB = r"(?<![\w$])JOB\b(?!=)"
TOLD = re.compile(r'^declare -x (FDIST_URL|FDIST_TOKEN)="(.*)"$', re.MULTILINE)
PYTHON_KNOWS = """
import os
from fdist_site.local.redis_server import connect
from transfers.scheduler import Scheduler
token = os.environ["FDIST_TOKEN"]
scheduler = Scheduler(connect(os.environ["REDIS_URL"]), os.environ["FDIST_CELL"])
"""


OF_POSTGRESQL = {"psql", "pg_dump", "pg_restore", "createdb", "createuser"}
OF_THE_CLOUD = re.compile(r"\bgcloud |\bterraform |\bmake (?:deploy|destroy|upgrade)\b")
WHO_IS_THERE = """
from django.contrib.auth.models import User
from nodes.models import EnrolmentKey
for name in ("ops", "admin"):
    User.objects.create_superuser(name, password="of-the-documents")
EnrolmentKey.adopt("workers", "fdk_" + "0" * 43)
"""

# What `make test` leaves to the tests: a reader's shell is in no make, and one within another says so among its output.
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")


class DocumentsFleet(LocalFleet):
    """Serves metrics and calls webhooks on this machine, as some pages want it. release: of agents started from now."""

    release = ""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "FDIST_RELEASE": self.release,
            "FDIST_METRICS_TOKEN": METRICS_TOKEN,
            "FDIST_WEBHOOK_HTTP": "true",
            "FDIST_WEBHOOK_PRIVATE": "true",
            "FDIST_LINK_RATE": "1gbit",
        }


class Stage:
    """Two nodes and the bucket `weights`, for pages that speak of gpu-07, gpu-08 and gs://weights/llama-70b/."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.closing = contextlib.ExitStack()
        self.no_cloud = ""
        self.fleet = DocumentsFleet(root / "fleet", options=NodeOptions(reuse="link"))
        self.package = root / "fdist-0.1.0-0123456789ab.tar.gz"  # in place of a real one, which takes half a minute
        self.package.touch()

    def start(self) -> None:
        self.fleet.start()
        for node in NODES:
            self.fleet.start_agent(node, labels=LABELS)
        payload = model_payload(4_000_000)
        payload.upload(self.fleet.gcs, "weights", "llama-70b")
        self.fleet.gcs.put("weights", "model.bin", b"weights" * 100_000)
        self.fleet.wait_live(*NODES)
        subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", WHO_IS_THERE],
            env=self.fleet.coordinator_environment,
            cwd=PROJECT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.fleet.wait_job(self.fleet.submit("gs://weights/llama-70b/", "mesh"))

    @cached_property
    def postgresql(self) -> str:
        """The address of a PostgreSQL, as the one who may do everything on it; it is there to the end."""
        return self.closing.enter_context(postgresql(user="postgres"))

    @cached_property
    def cloud(self) -> DocumentsCloud | None:
        """The cloud that is played; None, with the reason in no_cloud, where there is no terraform to plan with."""
        try:
            terraform = Terraform(self.root / "terraform")
        except Unavailable as reason:
            self.no_cloud = str(reason)
            return None
        self.closing.enter_context(terraform)
        return DocumentsCloud(terraform, self.root / "cloud", self.fleet, METRICS_TOKEN)

    @contextlib.contextmanager
    def installation(self, page: str) -> Iterator[None]:
        """The cloud for the time of a page that speaks of one; empty when the page begins with its first deployment."""
        if not OF_THE_CLOUD.search(page) or self.cloud is None:
            yield
            return
        deploys = "make deploy PROJECT" in page
        self.cloud.begin(self.package, deployed=not deploys, upgraded=deploys or "make upgrade PROJECT" in page)
        try:
            yield
        finally:
            self.cloud.end()

    def missing(self, block: Block) -> str:
        """What a block needs and this machine does not have; nothing for most."""
        if block.language not in SHELL:
            return ""
        if OF_THE_CLOUD.search(block.commands) and self.cloud is None:
            return self.no_cloud
        for command in checks.commands(block.commands):
            name = Path(checks.without_sudo(command)[0]).name
            if name in OF_POSTGRESQL and not is_installed():
                return MISSING
            if name in ("redis-cli", "promtool") and shutil.which(name) is None:
                return f"needs {name}, which is not on PATH"
        return ""


class PageRun:
    """One page's blocks in order, as one person would type them: a folder, variables that stay, terminals left open.

    without_settings: the person knows of no fleet yet; otherwise it is at the coordinator, and may use the API.
    """

    def __init__(self, stage: Stage, name: str, without_settings: bool) -> None:
        self.stage = stage
        self.home = stage.root / "homes" / re.sub(r"\W", "-", name)
        self.home.mkdir(parents=True)
        for entry in PROJECT.iterdir():
            if entry.name not in (".git", ".fdist", "site"):
                (self.home / entry.name).symlink_to(entry)
        self.programs = Programs(stage.root / "played" / self.home.name, self._plays())
        self.variables = self.home / "variables.sh"
        self.variables.write_text("")
        (self.home / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
        self.ports: dict[str, str] = {}
        self.running: list[tuple[Block, subprocess.Popen[bytes], Path]] = []
        self.without_settings = without_settings
        self.key = stage.fleet.enrolment_key

    def _plays(self) -> dict[str, Play]:
        """What stands in, on this page's PATH, for what only a cloud or another machine has."""
        fleet = self.stage.fleet

        def of_the_cloud(call: Call) -> Answer:
            if self.stage.cloud is None:
                raise Refused(self.stage.no_cloud)
            return self.stage.cloud.programs[call.program](call)

        def account(name: str) -> Mapping[str, str]:
            if name != "postgres":
                return {}
            place = urlsplit(self.stage.postgresql)
            path = f"{PROGRAMS}:{os.environ['PATH']}"
            return {"PGHOST": str(place.hostname), "PGPORT": str(place.port), "PGUSER": name, "PATH": path}

        return {
            "gcloud": of_the_cloud,
            "terraform": of_the_cloud,
            "systemctl": machine.systemctl,
            "journalctl": machine.journalctl,
            "systemd-run": machine.systemd_run(self.home, fleet.coordinator_environment),
            "sudo": machine.sudo(account),
        }

    def close(self) -> None:
        """Ends what the page left running, as Ctrl-C would; what has ended by itself was to keep running."""
        gone = [(block, log) for block, process, log in self.running if process.poll() is not None]
        for _, process, _ in reversed(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for _, process, _ in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.running.clear()
        assert not gone, "\n".join(f"{block} did not keep running:\n{log.read_text()[-2000:]}" for block, log in gone)

    def real(self, text: str) -> str:
        """A page's text with this fleet's names for what the page names."""
        fleet = self.stage.fleet
        for name in ("https://fdist.example.org", "http://127.0.0.1:8000"):
            text = text.replace(name, fleet.web_url.rstrip("/"))
        text = text.replace("redis://127.0.0.1:6379/0", fleet.environment["REDIS_URL"])
        text = text.replace("fdk_...", self.key).replace("FDIST_TOKEN=...", f"FDIST_TOKEN={fleet.token}")
        if POSTGRESQL in text:
            place = urlsplit(self.stage.postgresql).netloc.rpartition("@")[2]
            text = text.replace(POSTGRESQL, POSTGRESQL.replace("127.0.0.1:5432", place))
        if PSQL in text:  # the record of this fleet is in SQLite
            text = text.replace(PSQL, f"psql {shlex.quote(self.stage.postgresql)}")
        text = FOLDERS.sub(lambda path: self._folder(path[0]), text)
        text = re.sub(r"(?<=--port )\d+|(?<=127\.0\.0\.1:)\d{4}\b|(?<=\"127\.0\.0\.1\", )\d{4}", self._port, text)
        text = text.replace("/opt/fdist/", f"{self.home}/")
        return re.sub(JOB, lambda _: self.job(), text)

    def job(self) -> str:
        """The newest job, of the fleet that the page speaks to by now."""
        known = self.environment | dict(TOLD.findall(self.variables.read_text()))
        with Fdist(known["FDIST_URL"], known["FDIST_TOKEN"]) as fdist:
            return next(iter(fdist.jobs(limit=1))).id

    def _folder(self, path: str) -> str:
        """Where a folder that a page names is here: a node's data, or one of the page's own."""
        fleet = self.stage.fleet
        if path.startswith("/var/lib/fdist/record"):
            return str(fleet.root / path.rpartition("/")[2])
        if path == "/var/lib/fdist":
            return str(fleet.data_dir(NODES[0]))
        place = self.home / "folders" / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        return str(place)

    def _port(self, port: re.Match[str]) -> str:
        """A free port in place of one that a page names; the same one for the whole page."""
        return self.ports.setdefault(port[0], str(free_port()))

    @property
    def environment(self) -> dict[str, str]:
        fleet = self.stage.fleet
        own = {
            "PATH": f"{self.programs.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PACKAGE": str(self.stage.package),
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
        }
        if self.without_settings:
            return own | {"LANG": "C.UTF-8"}
        whole = (
            fleet.coordinator_environment
            | own
            | {
                "FDIST_URL": fleet.web_url,
                "FDIST_TOKEN": fleet.token,
                "FDIST_NODE_NAME": NODES[0],
                "TOKEN": fleet.token,
                "REDIS_ADMIN_URL": fleet.environment["REDIS_URL"],
                "COLUMNS": "120",
            }
        )
        return {name: value for name, value in whole.items() if name not in OF_MAKE}

    def run(self, block: Block) -> None:
        """Run a block and hold it to what the page says of its end and its output."""
        (self.home / "folders").mkdir(exist_ok=True)
        if block.mark == "keeps running":
            self._keep(block)
            return
        if block.mark == "after Ctrl-C":
            self.close()
        process = subprocess.Popen(
            self._argv(block),
            env=self.environment | dict([self.real(block.said).split("=", 1)] if block.mark == "in" else []),
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        typed = block.said.split(", ") if block.mark == "typed" else []
        lines = [self.environment[each[1:]] if each.startswith("$") else each for each in typed]
        try:
            printed, _ = process.communicate("".join(f"{line}\n" for line in lines), timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed = f"{process.communicate()[0]}\n(killed after {SECONDS} s)"
        if keys := re.findall(r"fdk_[\w.-]+", printed):
            self.key = keys[-1]
        refused, self.programs.refusals = self.programs.refusals, []
        expected = int(block.said) if block.mark == "exits" else 0
        said = f"{block}:\n{self.real(block.commands)}\n--- printed\n{printed}"
        assert process.returncode == expected, f"status {process.returncode} of {said}"
        assert refused == [], f"refused, though nothing came of it: {refused} by {said}"
        missing = missing_lines(self.real("\n".join(block.shown)).splitlines(), printed)
        assert missing == [], f"not printed: {missing} by {said}"

    def _argv(self, block: Block) -> list[str]:
        keep = shlex.quote(str(self.variables))
        if block.language == "python":
            program = shlex.quote(PYTHON_KNOWS + self.real(block.text))
            return ["bash", "-c", f". {keep}; exec {shlex.quote(sys.executable)} -u -c {program}"]
        lines = ["set -eo pipefail", f". {keep}", self.real(block.commands), f"export -p > {keep}"]
        return ["bash", "-c", "\n".join(lines)]

    def _keep(self, block: Block) -> None:
        log = self.home / f"block-{block.line}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._argv(block),
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append((block, process, log))

        def said() -> bool:
            assert process.poll() is None, f"{block} ended:\n{log.read_text()[-3000:]}"
            return block.said in log.read_text()

        try:
            wait_until(said, SECONDS, f"{block} to say {block.said!r}")
        except Exception as error:
            raise AssertionError(f"{error}; it said:\n{log.read_text()[-3000:]}") from error


@contextlib.contextmanager
def page_run(stage: Stage, page: Path, name: str) -> Iterator[PageRun]:
    """One page's run: who reads the tutorial knows of no fleet, and who reads of upgrades has an installation."""
    run = PageRun(stage, name, without_settings=page.name == "tutorial.md")
    text = page.read_text() if page.exists() else ""
    with run.programs, stage.installation(text):
        try:
            yield run
        except BaseException:
            with contextlib.suppress(AssertionError):
                run.close()
            raise
        run.close()
