"""fdist push, fdist plan: a job, and what it would be."""

from __future__ import annotations

from typing import Any

import click

from fdist_site.cli import exits, output
from fdist_site.cli.context import Selector, Settings, json_option, pass_settings
from fdist_site.cli.options import MOVING, OWN_ZONE, Command, with_options
from transfers.words import count, duration_text, rate_text, size_text

SHOWN = 10


def job_options(command: Command) -> Command:
    """The options of a job, in the order in which help shows them."""
    return with_options(
        command,
        (
            click.argument("source"),
            click.option(
                "--nodes", type=Selector(), help="all (default), gpu-01,gpu-02 or zone=a,kind=h100.", metavar="NODES"
            ),
            click.option("--topology", type=click.Choice(["mesh", "pipeline"]), default="mesh", show_default=True),
            click.option("--destination", help="Folder below each node's data directory; the source's by default."),
            click.option("--name", help="For lists and pages."),
            *MOVING,
            click.option("--quorum", type=float, help="Part of the nodes with which it is ready, such as 0.99."),
            OWN_ZONE,
            click.option("--bucket-budget", help="It fails rather than read more of the bucket: 150GB, or 1.2x."),
        ),
    )


@click.command()
@job_options
@click.option("--key", default="", help="Idempotency key: the same request with it gives the same job.")
@click.option("--wait", "wait", is_flag=True, help="Show progress until it ends; exit code 1 if it failed.")
@json_option
@pass_settings
def push(settings: Settings, /, source: str, wait: bool, key: str, **options: Any) -> int:
    """Distribute an object, a prefix or a manifest from the bucket to nodes.

    \b
    fdist push gs://weights/llama-70b/
    fdist push gs://weights/llama-70b/ --nodes zone=a,kind=h100 --wait
    fdist push gs://weights/model.bin --nodes gpu-01,gpu-02 --topology pipeline
    """
    from fdist_site.cli.waiting import follow_job

    client = settings.client()
    job = client.submit(source, key=key, **options)
    if not settings.json:
        files, shards = count(job.file_count, "file"), count(job.shard_count, "shard")
        nodes = count(job.nodes_total, "node")
        click.echo(f"{job.id}  {size_text(job.size)} in {files}, {shards}, by {job.topology} to {nodes}")
        if not wait:
            click.echo(f"follow it with: fdist watch {job.id[:8]}", err=True)
    code = follow_job(settings, job.id) if wait else exits.OK
    if settings.json:
        output.print_json(client.job(job.id) if wait else job)
    return code


@click.command()
@job_options
@json_option
@pass_settings
def plan(settings: Settings, /, source: str, **options: Any) -> int:
    """Say what a job would do, before anything moves. Exit code 1 when it would be refused.

    Takes what `fdist push` takes. The formulas are in docs/plan.md.
    """
    found = settings.client().plan(source, **options)
    if settings.json:
        output.print_json(found)
    else:
        _show(found)
    return exits.OK if found["fits"] else exits.FAILED


def _show(plan: Any) -> None:
    free = plan["disk_least_free"]
    output.print_facts(
        {
            "source": plan["source"],
            "payload": f"{size_text(plan['size'])} in {count(plan['file_count'], 'file')}",
            "shards": f"{plan['shard_count']:,} of {size_text(plan['shard_size'])}",
            "nodes": f"{plan['node_count']:,}, into {plan['destination'] or 'the data directory itself'}",
            "disk": f"{size_text(plan['disk_needed'])} on each node"
            + ("" if free is None else f"; the least that one has free is {size_text(free)}"),
            "rates": _rates(plan["rates"]),
        }
    )
    click.echo()
    output.print_table(
        ["", "last node", "median", "out of the bucket", "efficiency", "what binds"],
        [
            [
                each["topology"] + (" *" if each["topology"] == plan["topology"] else ""),
                duration_text(each["seconds"]),
                duration_text(each["median_seconds"]),
                f"{size_text(each['bytes_from_bucket'])} ({each['amplification']:.0f} x)",
                f"{each['efficiency']:.0%}",
                each["binds"].replace("_", " "),
            ]
            for each in plan["forecasts"]
        ],
        right=["last node", "median", "out of the bucket", "efficiency"],
    )
    out = output.console()
    for each in plan["forecasts"]:
        out.print(f"{each['topology']}: {each['why']}", style="dim", markup=False)
    if plan["left_out"]:
        names = [f"{node['name']} ({node['state']})" for node in plan["left_out"]]
        out.print(f"\nnot live, and served when they are back: {', '.join(names[:SHOWN])}", markup=False)
    for node in plan["evicts"][:SHOWN]:
        likely = ", ".join(job["name"] for job in node["likely"]) or "what is finished there"
        out.print(f"{node['name']} frees {size_text(node['bytes'])} for it: {likely}", style="yellow", markup=False)
    for node in plan["unfit"][:SHOWN]:
        out.print(f"no room: {node['why']}", style="yellow", markup=False)
    if len(plan["unfit"]) > SHOWN:
        out.print(f"and {len(plan['unfit']) - SHOWN} more nodes without room", style="yellow")
    if plan["refusal"]:
        out.print(f"a job would be refused: {plan['refusal']['detail']}", style="red", markup=False)


def _rates(rates: Any) -> str:
    measured = rates["measured_nodes"]
    node = f"{rate_text(rates['node'])} a node ({f'measured on {measured}' if measured else 'assumed'})"
    how = "measured" if rates["bucket_read_measured"] else "assumed"
    return f"{node}, {rate_text(rates['bucket_read'])} a read from the bucket ({how})"
