"""fdist watch, fdist wait: until a job has ended, or until files are here."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fdist_site.cli import exits, output
from fdist_site.cli.context import Duration, Settings, json_option, pass_settings

if TYPE_CHECKING:
    from transfers.client import Fdist, Job, Standing
    from transfers.progress import JobProgress

STANDING = "standing:"
OPEN_OR_DONE = ("planned", "running", "paused", "complete", "failed")


def follow_job(settings: Settings, job: str, *, lines: bool = False) -> int:
    """Shows a job until it ends, or waits for that where JSON was asked for; gives the exit code."""
    last = follow(settings, settings.client().watch(job), lines=lines)
    return exits.OK if last.state == "complete" else exits.FAILED


def follow(settings: Settings, looks: Iterator[JobProgress], *, lines: bool = False) -> JobProgress:
    """Shows each look as it comes, but where JSON was asked for; gives the last."""
    if settings.json:
        *_, last = looks
        return last
    from transfers.terminal import follow

    return follow(looks, output.console(), lines=lines)


@click.command()
@click.argument("job")
@click.option("--lines", is_flag=True, help="Lines instead of bars, also in a terminal.")
@json_option
@pass_settings
def watch(settings: Settings, job: str, lines: bool) -> int:
    """Show a job's progress, in all and for each node, until it ends.

    In a terminal bars that move, elsewhere lines; with --json a line of JSON whenever something has changed. Exit code
    0 when the job is complete, 1 when it failed or was cancelled. Ctrl-C ends the watching, not the job.
    """
    name = settings.client().id_of(job)
    if not settings.json:
        return follow_job(settings, name, lines=lines)
    last = None
    for last in settings.client().watch(name):
        output.print_json({"job": name, **vars(last), "nodes": last.nodes})
    return exits.OK if last is not None and last.state == "complete" else exits.FAILED


@click.command()
@click.argument("what")
@click.option("--on-this-node", is_flag=True, help="Only until this server has it; named by FDIST_NODE_NAME or --node.")
@click.option("--node", default="", help="Only until this node has it.")
@click.option("--timeout", type=Duration(), help="Such as 90s, 10m or 2h; for ever by default.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Look at the files below this directory as well.")
@json_option
@pass_settings
def wait(
    settings: Settings, what: str, on_this_node: bool, node: str, timeout: float | None, data_dir: Path | None
) -> int:
    """Wait until a job is complete, or until a source's files are on a node.

    \b
    fdist wait 3f2a9c01 --timeout 2h
    fdist wait gs://weights/llama-70b/ --on-this-node --timeout 30m
    fdist wait standing:llama --on-this-node --timeout 30m

    WHAT is a job, or a source: then the newest job of it counts, also one that is submitted later. Or it is a standing
    distribution: then its link has to name what nodes are to use. A coordinator that does not answer is asked again.
    Exit codes: 0 it is here, 1 the job or the node failed, 8 the time was over.
    """
    from transfers.client.fdist import wait_for

    client = settings.client()
    name = node or (this_node() if on_this_node else "")
    if what.startswith(STANDING):
        return _wait_standing(settings, what.removeprefix(STANDING), name, timeout, data_dir)
    source = what if "://" in what else ""
    job = "" if source else client.id_of(what)
    wanted = Wanted(client, source, job, name, data_dir)
    found = wait_for(wanted.look, wanted.sentence(), timeout)
    if settings.json:
        output.print_json({"job": found, "node": name or None, "path": str(wanted.path(found) or "")})
    else:
        click.echo(str(wanted.path(found) or f"{found.title} is complete"))
    return exits.OK


def _wait_standing(settings: Settings, what: str, node: str, timeout: float | None, data_dir: Path | None) -> int:
    from transfers.client.fdist import wait_for

    wanted = WantedLink(settings.client(), what, node, data_dir)
    found = wait_for(wanted.look, wanted.sentence(), timeout)
    path = wanted.path(found)
    if settings.json:
        output.print_json({"standing": found, "node": node or None, "path": str(path or "")})
    else:
        click.echo(str(path or f"{found.name} is at version {found.current_version}"))
    return exits.OK


def this_node() -> str:
    """The name of the node that runs here: FDIST_NODE_NAME as its agent has it, else the host's short name."""
    return os.environ.get("FDIST_NODE_NAME", "").strip() or platform.node().partition(".")[0].lower()


def _data_dir_of(node: str) -> Path | None:
    """Where the node that runs here has its data, as its agent is told."""
    named = os.environ.get("FDIST_DATA_DIR", "") if node == this_node() else ""
    return Path(named) if named else None


class Wanted:
    """What is waited for. node: "" is the whole job."""

    def __init__(self, client: Fdist, source: str, job: str, node: str, data_dir: Path | None) -> None:
        self._client = client
        self._source = source
        self._job = job
        self._node = node
        self._data_dir = data_dir or _data_dir_of(node)

    def sentence(self) -> str:
        where = f" on {self._node}" if self._node else ""
        return f"{self._source or f'job {self._job}'} is not there{where}"

    def path(self, job: Job) -> Path | None:
        return self._data_dir / job.destination if self._data_dir else None

    def look(self) -> Job | None:
        """The job once it is there, None before; raises JobFailed when it will not come by itself."""
        job = self._find()
        if job is None or job.purged_at:
            return None
        return self._on_node(job) if self._node else self._whole(job)

    def _find(self) -> Job | None:
        """The newest job of the source that was not cancelled, and is for the node, if one is named."""
        if self._job:
            return self._client.job(self._job)
        for job in self._client.jobs(source=self._source, state=OPEN_OR_DONE):
            if job.source == self._source and (not self._node or any(self._client.job_nodes(job, node=self._node))):
                return job
        return None

    def _whole(self, job: Job) -> Job | None:
        from transfers.client import JobFailed

        if job.ended and job.state != "complete":
            raise JobFailed(job)
        return job if job.state == "complete" else None

    def _on_node(self, job: Job) -> Job | None:
        from transfers.client import JobFailed

        row = next(iter(self._client.job_nodes(job, node=self._node)), None)
        if row is None:
            return None
        if row.state == "done":
            self._check_files(job)
            return job
        if row.state == "failed":
            raise exits.FailedHere(f"{self._node} could not take {job.title}: {row.error or 'its log has the reason'}")
        if job.ended and job.state != "complete":
            raise JobFailed(job)
        return None

    def _check_files(self, job: Job) -> None:
        root = self.path(job)
        if root is None:
            return
        for file in self._client.files(job):
            path = root / file["name"]
            if not path.is_file() or path.stat().st_size != file["size"]:
                raise exits.FailedHere(
                    f"{path} is not there, or not with {file['size']:,} bytes, though the record has it: "
                    f"`fdist verify {job.id[:8]}` fetches what is missing"
                )


class WantedLink:
    """A standing distribution that is waited for. node: "" is the share of the nodes with which it is in use."""

    def __init__(self, client: Fdist, name: str, node: str, data_dir: Path | None) -> None:
        self._client = client
        self._name = name
        self._node = node
        self._data_dir = data_dir or _data_dir_of(node)

    def sentence(self) -> str:
        where = f" on {self._node}" if self._node else ""
        return f"the standing distribution {self._name} is not in use{where}"

    def path(self, found: Standing) -> Path | None:
        return self._data_dir / found.link if self._data_dir else None

    def look(self) -> Standing | None:
        """It, once the link names what nodes are to use; None before, and while there is none of that name."""
        from transfers.client import NotFound

        try:
            found = self._client.standing.get(self._name)
        except NotFound:
            return None
        if found.current_version is None:
            return None
        if not self._node:
            return found if found.reached_at else None
        path = self.path(found)
        if path is not None:  # the link itself says it sooner than the record does
            target = str(path.readlink()) if path.is_symlink() else ""
            return found if target == f"versions/{found.current_version}" else None
        rows = self._client.standing.nodes(self._name, node=self._node)
        return found if any(row.version == found.current_version and not row.leaving for row in rows) else None
