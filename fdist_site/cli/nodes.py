"""fdist nodes, fdist status: the fleet."""

from __future__ import annotations

from typing import Any

import click

from fdist_site.cli import exits, output
from fdist_site.cli.context import Settings, json_option, pass_settings
from nodes.labels import parse_labels
from transfers.client import Kept, Node
from transfers.words import rate_text, size_text

STATES = ("live", "draining", "dead", "left", "removed")


@click.group(invoke_without_command=True)
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--labels", default="", help="key=value,key=value: only those that have all of them.")
@json_option
@click.pass_context
def nodes(context: click.Context, state: str | None, labels: str) -> None:
    """List the fleet; or show, drain, enable and remove a node."""
    if context.invoked_subcommand is not None:
        return
    settings: Settings = context.ensure_object(Settings)
    try:
        wanted = parse_labels(labels)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--labels") from None
    found = list(settings.client().nodes(state=state or "", labels=wanted))
    if settings.json:
        output.print_json(found)
        return
    output.print_table(
        ["node", "state", "free", "of", "seen", "address", "labels"],
        [
            [
                node.name,
                node.state,
                size_text(node.disk_free),
                size_text(node.disk_total),
                output.age(node.last_seen),
                node.address,
                ",".join(f"{key}={value}" for key, value in sorted(node.labels.items())),
            ]
            for node in found
        ],
        right=["free", "of", "seen"],
    )


@nodes.command()
@click.argument("name")
@json_option
@pass_settings
def show(settings: Settings, name: str) -> None:
    """A node: its disk, and the jobs on it, those first that would go first to make room."""
    client = settings.client()
    node, kept = client.node(name), list(client.kept(name))
    if settings.json:
        output.print_json({"node": node.raw, "kept": [each.raw for each in kept]})
        return
    quota = "none: nothing is removed to make room"
    if node.quota is not None:
        used, may_go = (sum(each.size for each in rows) for rows in (kept, [e for e in kept if e.eviction is not None]))
        quota = f"{size_text(used)} used of {size_text(node.quota)}; {size_text(may_go)} can make room"
    seen = f", seen {output.age(node.last_seen)} ago" if node.last_seen else ""
    output.print_facts(
        {
            "node": f"{node.name} is {node.state}{seen}",
            "address": node.address,
            "labels": ", ".join(f"{key}={value}" for key, value in sorted(node.labels.items())),
            "agent": node.version,
            "disk": f"{size_text(node.disk_free)} free of {size_text(node.disk_total)}",
            "quota": quota,
        }
    )
    if kept:
        click.echo()
        output.print_table(
            ["job", "size", "wanted", "goes", "name"],
            [[each.job[:8], size_text(each.size), output.age(each.wanted_at), _goes(each), each.name] for each in kept],
            right=["size", "wanted"],
        )


def _goes(kept: Kept) -> str:
    if kept.eviction is not None:
        return "first" if kept.eviction == 1 else f"{kept.eviction}."
    return "pinned" if kept.pinned else "" if kept.whole else "not whole"


def _tell(settings: Settings, node: Node, what: str) -> None:
    if settings.json:
        output.print_json(node)
    else:
        click.echo(f"{node.name} is {node.state}: {what}")


@nodes.command()
@click.argument("name")
@json_option
@pass_settings
def drain(settings: Settings, name: str) -> None:
    """Let a node begin no download; it still serves what it has."""
    _tell(settings, settings.client().drain(name), f"it begins no download until `fdist nodes enable {name}`")


@nodes.command()
@click.argument("name")
@json_option
@pass_settings
def enable(settings: Settings, name: str) -> None:
    """Let a node take part again."""
    _tell(settings, settings.client().enable(name), "it takes part again")


@nodes.command()
@click.argument("name")
@json_option
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Take a node that is gone out of the lists; it is back when it registers again."""
    settings.client().remove(name)
    if settings.json:
        output.print_json({"removed": name})
    else:
        click.echo(f"removed {name}")


@click.command()
@json_option
@pass_settings
def status(settings: Settings) -> int:
    """The cell at a glance. Exit code 7 when a part of the coordinator does not run."""
    client = settings.client()
    cell = client.cell()
    missing = sorted(part for part, runs in cell["coordinator"].items() if not runs)
    if settings.json:
        output.print_json({"url": client.url, **cell})
    else:
        output.print_facts(_facts(client.url, cell, missing))
    return exits.UNAVAILABLE if missing else exits.OK


def _facts(url: str, cell: Any, missing: list[str]) -> dict[str, str]:
    def states(counts: dict[str, int]) -> str:
        return ", ".join(f"{number:,} {state}" for state, number in counts.items()) or "none"

    coordinator = f"not running: {', '.join(missing)}; start `manage.py coordinator`" if missing else "runs"
    return {
        "coordinator": f"{url}, cell {cell['name']}; {coordinator}",
        "nodes": states(cell["nodes"]),
        "jobs": states(cell["jobs"]),
        "moving": f"{cell['transfers']:,} transfers, {rate_text(cell['rate_from_bucket'])} out of the bucket, "
        f"{rate_text(cell['rate_from_peers'])} between nodes",
        "disk": f"{size_text(cell['disk_free'])} free of {size_text(cell['disk_total'])}",
        "record": f"{cell['recorder_seconds_behind']} s behind",
    }
