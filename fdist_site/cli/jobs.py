"""fdist jobs, show, events, and what one does to a job."""

from __future__ import annotations

import time

import click

from fdist_site.cli import output
from fdist_site.cli.context import Settings, json_option, pass_settings
from transfers.words import count, duration_text, size_text

STATES = ("planned", "running", "paused", "complete", "failed", "cancelled")
SHORT = 8  # characters of an id that people see
FOLLOW_SECONDS = 2.0


@click.command()
@click.option("--state", type=click.Choice(STATES), multiple=True, help="May be given several times.")
@click.option("--source", default="", help="Only sources that begin so.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
@json_option
@pass_settings
def jobs(settings: Settings, state: tuple[str, ...], source: str, limit: int) -> None:
    """List jobs, the newest first."""
    found = list(settings.client().jobs(state=state, source=source, limit=limit))
    if settings.json:
        output.print_json(found)
        return
    output.print_table(
        ["job", "state", "there", "nodes", "size", "bucket", "age", "what"],
        [
            [
                job.id[:SHORT],
                job.state,
                f"{job.part:.0%}",
                f"{job.nodes_done}/{job.nodes_total}",
                size_text(job.size),
                f"{job.amplification:.2f} x",
                output.age(job.created_at),
                job.title,
            ]
            for job in found
        ],
        right=["there", "nodes", "size", "bucket", "age"],
    )


@click.command()
@click.argument("job")
@json_option
@pass_settings
def show(settings: Settings, job: str) -> None:
    """Show one job, and its nodes. JOB may be the first characters of its id."""
    client = settings.client()
    found = client.job(job)
    nodes = list(client.job_nodes(found))
    if settings.json:
        output.print_json({"job": found, "nodes": nodes})
        return
    took = (found.finished_at - found.created_at).total_seconds() if found.finished_at else 0.0
    output.print_facts(
        {
            "job": found.id,
            "name": found.name,
            "state": found.state + (f", after {duration_text(took)}" if took else ""),
            "error": found.error,
            "source": found.source,
            "into": found.destination or "the data directory itself",
            "payload": f"{size_text(found.size)} in {count(found.file_count, 'file')}, "
            f"{count(found.shard_count, 'shard')}, by {found.topology}",
            "nodes": f"{found.nodes_done} of {found.nodes_total} done"
            + (f", {found.nodes_failed} failed" if found.nodes_failed else ""),
            "moved": f"{size_text(found.bytes_from_gcs)} out of the bucket ({found.amplification:.2f} x), "
            f"{size_text(found.bytes_from_peers)} between nodes"
            + (f", {size_text(found.bytes_across_zones)} of it from zone to zone" if found.bytes_across_zones else ""),
            "by": found.created_by or "",
            "pinned": "nodes keep its files, whatever needs room" if found.pinned else "",
            "purged": "its files were removed" if found.purged_at else "",
        }
    )
    click.echo()
    output.print_table(
        ["node", "state", "there", "bucket", "peers", "failures", "why"],
        [
            [
                node.node,
                node.state if node.node_state == "live" else f"{node.state} ({node.node_state})",
                f"{node.shards_held / found.shard_count:.0%}",
                size_text(node.bytes_from_gcs),
                size_text(node.bytes_from_peers),
                str(node.failures),
                node.error,
            ]
            for node in nodes
        ],
        right=["there", "bucket", "peers", "failures"],
    )


@click.command()
@click.argument("job")
@click.option("--after", type=click.IntRange(0), default=0, help="The id of the last event that you saw.")
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@json_option
@pass_settings
def events(settings: Settings, job: str, after: int, follow: bool) -> None:
    """What happened to a job, oldest first; with --json a line for each event."""
    client = settings.client()
    name = client.id_of(job)
    while True:
        ended = client.job(name).ended  # before the events are read, so that none is missed
        for event in client.events(name, after=after):
            after = event.id
            if settings.json:
                output.print_json(event)
            else:
                parts = (f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind, event.node, event.state, event.why)
                click.echo("  ".join(part for part in parts if part))
        if ended or not follow:
            return
        time.sleep(FOLLOW_SECONDS)


def _act(name: str, past: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("job")
    @json_option
    @pass_settings
    def act(settings: Settings, job: str) -> None:
        client = settings.client()
        found = getattr(client, name)(job)
        if settings.json:
            output.print_json(found)
        else:
            click.echo(f"{past} {found.id[:SHORT]}: {found.title} is {found.state}")

    return act


@click.command()
@click.argument("job")
@click.option("--reason", default="", help="For the record.")
@json_option
@pass_settings
def cancel(settings: Settings, job: str, reason: str) -> None:
    """End an open job; finished files stay, unfinished ones are removed."""
    found = settings.client().cancel(job, reason)
    if settings.json:
        output.print_json(found)
    else:
        click.echo(f"cancelled {found.id[:SHORT]}: {found.title}")


ACTS: tuple[click.Command, ...] = (
    cancel,
    _act("pause", "paused", "Begin no shard from now on; what is under way ends."),
    _act("resume", "resumed", "Go on after a pause."),
    _act("retry", "retried", "Go on with a job that has ended, for the nodes that are not done."),
    _act("verify", "verifying", "Have the nodes read their files again; what is damaged is fetched anew."),
    _act("pin", "pinned", "Have the nodes keep the files of a job, whatever needs room."),
    _act("unpin", "unpinned", "Let the files of a job make room again."),
    _act("purge", "purged", "Remove the files of a job that has ended from its nodes."),
)
