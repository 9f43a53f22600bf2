"""fdist bench: what the user's own fleet reaches, with a payload of random bytes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from fdist_site.cli import exits, output
from fdist_site.cli.context import Rate, Selector, Settings, Size, json_option, pass_settings
from fdist_site.cli.waiting import follow_job
from transfers.reached import Figures, summary
from transfers.words import count, rate_text, size_text

if TYPE_CHECKING:
    from transfers.client import Fdist, Job

PARTS = {"p50": 0.5, "p99": 0.99, "last": 1.0}
COUNTED_SECONDS = 15.0  # for which the record may be behind the end of a job


@click.command()
@click.argument("folder")
@click.option("--size", type=Size(), default="1GB", show_default=True, help="Of all objects together.")
@click.option("--objects", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option("--nodes", type=Selector(), help="all (default), gpu-01,gpu-02 or zone=a,kind=h100.", metavar="NODES")
@click.option("--topology", type=click.Choice(["mesh", "pipeline"]), multiple=True, help="Both unless given.")
@click.option("--gcs-slots", type=int, help="Reads from the bucket at once.")
@click.option("--rate", type=Rate(), help="Of a node's link, such as 10gbit; as measured unless given.")
@json_option
@pass_settings
def bench(
    settings: Settings,
    folder: str,
    size: int,
    objects: int,
    nodes: Any,
    topology: tuple[str, ...],
    gcs_slots: int | None,
    rate: int | None,
) -> int:
    """Send random bytes through your own fleet, and print what was reached.

    FOLDER is a place in a bucket where objects may be made and removed, such as gs://weights/tmp/. They are written by
    this command, with your own login for the bucket, and removed at the end with what the nodes got of them.

    Prints the time of the median node, of the 99th of 100 and of the last, their efficiency (F/B)/T, and bytes out of
    the bucket divided by the payload. Exit code 1 when a job failed.
    """
    from fdist_site.cli.synthetic import synthetic_objects

    client = settings.client()
    place = f"{check_folder(folder)}fdist-bench-{secrets.token_hex(4)}/"
    figures: list[Figures] = []
    told: list[Mapping[str, Any]] = []
    if not settings.json:
        click.echo(f"writing {size_text(size)} in {count(objects, 'object')} to {place}", err=True)
    with synthetic_objects(place, size, objects) as source:
        for each in topology or ("pipeline", "mesh"):
            options = {"nodes": nodes, "topology": each, "gcs_slots": gcs_slots}
            options["destination"] = f"{source.rstrip('/').rpartition('/')[2]}-{each}"
            job = client.submit(source, name=f"bench by {each}", **options)
            try:
                if follow_job(settings, job.id) != exits.OK:
                    raise exits.FailedHere(f"the job {job.id} did not complete: `fdist show {job.id[:8]}` says why")
                reached, run = measure(client, counted(client, job), rate, options)
                figures.append(reached)
                told.append(run)
            finally:
                put_away(client, job)
    if settings.json:
        output.print_json(told)
    else:
        output.console().print(summary(figures))
        click.echo(f"B is {rate_text(told[-1]['rate'])}, {told[-1]['rate_from']}")
    return exits.OK


def check_folder(folder: str) -> str:
    if not folder.startswith("gs://") or not folder.endswith("/"):
        raise click.BadParameter(f'"{folder}" is no place for objects: write gs://bucket/ or gs://bucket/folder/')
    return folder


def counted(client: Fdist, job: Job) -> Job:
    """The job once the record has counted all its bytes; as it is after some seconds, where nodes had bytes before."""
    until = time.monotonic() + COUNTED_SECONDS
    while True:
        found = client.job(job)
        whole = found.bytes_from_gcs + found.bytes_from_peers >= found.size * found.nodes_done
        if whole or time.monotonic() > until:
            return found
        time.sleep(0.5)


def measure(client: Fdist, job: Job, rate: int | None, options: Mapping[str, Any]) -> tuple[Figures, Mapping[str, Any]]:
    """rate: bytes a second of a node's link; what the record has measured, this job included, unless given."""
    plan = client.plan(job.source, **options)
    node_rate = rate or plan["rates"]["node"]
    nodes = [node for node in client.job_nodes(job) if node.state == "done" and node.finished_at]
    figures = Figures(
        topology=job.topology,
        size=job.size,
        amplification=job.amplification,
        node_seconds=tuple((node.finished_at - job.created_at).total_seconds() for node in nodes if node.finished_at),
        ideal=job.size / node_rate,
    )
    return figures, {
        "topology": job.topology,
        "job": job.id,
        "size": job.size,
        "nodes": len(nodes),
        "rate": node_rate,
        "rate_from": "as given" if rate else "the best that the nodes have reached",
        "amplification": figures.amplification,
        "seconds": {name: figures.seconds_at(part) for name, part in PARTS.items()},
        "efficiency": {name: figures.efficiency_at(part) for name, part in PARTS.items()},
    }


def put_away(client: Fdist, job: Job) -> None:
    """Ends the job if it runs, and removes its files from the nodes."""
    if not client.job(job).ended:
        client.cancel(job, "the trial ended")
    client.purge(job)
