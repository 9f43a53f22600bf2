"""fdist standing: sources that nodes have at all times, version after version."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import click

from fdist_site.cli import output
from fdist_site.cli.context import Duration, Selector, Settings, json_option, pass_settings
from fdist_site.cli.options import MOVING, OWN_ZONE, Command, with_options
from transfers.client import Standing, StandingNode
from transfers.words import count, size_text

SHOWN_NODES = 20


def complete_name(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Names that begin so, by the API; none where it does not answer at once."""
    with suppress(Exception):
        settings: Settings = context.ensure_object(Settings)
        return [each.name for each in settings.client().standing.all() if each.name.startswith(begun)]
    return []


name_argument = click.argument("name", shell_complete=complete_name)


def options_of(command: Command) -> Command:
    """What can be said when one is made and changed later."""
    return with_options(
        command,
        (
            click.option(
                "--nodes", type=Selector(), help="all, gpu-01,gpu-02 or model=llama,kind=h100.", metavar="NODES"
            ),
            click.option(
                "--share",
                type=float,
                help="Part of the nodes that must have a version before it is used; 1 by default.",
            ),
            click.option(
                "--keep", "versions_kept", type=int, help="Versions on the nodes, with the current one; 2 by default."
            ),
            click.option("--every", type=Duration(), help="Between two looks at the source; 60s by default."),
            click.option(
                "--settle",
                type=Duration(),
                help="How long the source must be unchanged; 60s by default.",
            ),
            click.option("--marker", help="Object of the prefix whose new generation says that an upload is whole."),
            click.option("--topology", type=click.Choice(["mesh", "pipeline"]), help="Of each version's job."),
            *MOVING,
            OWN_ZONE,
            click.option("--bucket-budget", help="A version fails rather than read more of the bucket: 1.2x."),
        ),
    )


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """As the API has them."""
    for name, field in (("every", "check_seconds"), ("settle", "settle_seconds")):
        value = options.pop(name)
        options[field] = None if value is None else int(value)
    return options


@click.group()
def standing() -> None:
    """Keep a source on nodes at all times: also on those that join later, and in its newest version."""


@standing.command()
@name_argument
@click.argument("source")
@click.option("--destination", help="Folder of versions and link below each data directory; the source's by default.")
@options_of
@json_option
@pass_settings
def create(settings: Settings, /, name: str, source: str, **options: Any) -> None:
    """Make one. Its first version starts when the source has settled, and is then at DESTINATION/current.

    \b
    fdist standing create llama gs://weights/llama-70b/ --nodes model=llama
    fdist standing create llama gs://weights/llama-70b/ --nodes model=llama --share 0.95 --marker _SUCCESS
    """
    found = settings.client().standing.create(name, source, **_fields(options))
    if settings.json:
        output.print_json(found)
        return
    click.echo(f"{found.name}  {found.source} to {nodes_text(found)}, at {found.link}")
    click.echo(f"see how it goes with: fdist standing show {found.name}", err=True)


@standing.command("list")
@click.option("--behind", is_flag=True, help="Only those with nodes that are up and behind.")
@json_option
@pass_settings
def list_all(settings: Settings, behind: bool) -> None:
    """List them all."""
    found = list(settings.client().standing.all(**({"behind": "true"} if behind else {})))
    if settings.json:
        output.print_json(found)
        return
    output.print_table(
        ["name", "state", "version", "nodes", "behind", "checked", "source", "trouble"],
        [
            [
                each.name,
                each.state,
                _version(each),
                f"{each.nodes_current}/{each.nodes_up}",
                str(each.nodes_behind or ""),
                output.age(each.checked_at),
                each.source,
                each.trouble,
            ]
            for each in found
        ],
        right=["version", "nodes", "behind", "checked"],
    )


def _version(found: Standing) -> str:
    current = str(found.current_version or "-")
    return current if found.newest_version in (found.current_version, 0) else f"{current} of {found.newest_version}"


def nodes_text(found: Standing) -> str:
    from nodes.labels import describe

    return describe(found.nodes)


@standing.command()
@name_argument
@json_option
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show one: its versions, and the nodes that are behind."""
    calls = settings.client().standing
    found, versions, nodes = calls.get(name), list(calls.versions(name)), list(calls.nodes(name))
    if settings.json:
        output.print_json({"standing": found, "versions": versions, "nodes": nodes})
        return
    held = f"; versions up to {found.passed_over} are passed over until it is resumed, or a newer one is there"
    output.print_facts(
        {
            "name": f"{found.name} is {found.state.replace('_', ' ')}",
            "source": f"{found.source}, looked at {output.age(found.checked_at)} ago",
            "trouble": found.trouble,
            "link": found.link,
            "nodes": f"{nodes_text(found)}: {found.nodes_current} of {found.nodes_up} that are up use the current "
            "version" + (f", {found.nodes_behind} behind" if found.nodes_behind else ""),
            "version": f"{found.current_version or 'none yet'}"
            + (held if found.passed_over > (found.current_version or 0) else ""),
            "used when": f"{found.share:.0%} of the nodes have it; {count(found.versions_kept, 'version')} kept",
            "marker": found.marker,
            "by": found.created_by or "",
        }
    )
    click.echo()
    output.print_table(
        ["version", "state", "size", "ready", "using", "age", "job", "why"],
        [
            [
                str(each.number),
                each.state,
                size_text(each.size),
                f"{each.nodes_ready}/{each.nodes_total}",
                str(each.nodes_using),
                output.age(each.created_at),
                each.job[:8],
                each.error or (f"failed on {count(each.nodes_failed, 'node')}" if each.nodes_failed else ""),
            ]
            for each in versions
        ],
        right=["version", "size", "ready", "using", "age"],
    )
    _show_nodes([each for each in nodes if each.behind or each.leaving or each.why])


def _show_nodes(nodes: list[StandingNode]) -> None:
    if not nodes:
        return
    click.echo()
    output.print_table(
        ["node", "is", "uses", "since", "why"],
        [
            [
                each.node,
                "leaving" if each.leaving else "behind" if each.behind else each.node_state,
                str(each.version or "-"),
                output.age(each.changed_at),
                each.why,
            ]
            for each in nodes[:SHOWN_NODES]
        ],
        right=["uses", "since"],
    )
    if len(nodes) > SHOWN_NODES:
        click.echo(f"and {len(nodes) - SHOWN_NODES} more")


@standing.command()
@name_argument
@click.option("--after", type=click.IntRange(0), default=0, help="The id of the last event that you saw.")
@json_option
@pass_settings
def events(settings: Settings, name: str, after: int) -> None:
    """What happened to one, oldest first; with --json a line for each event."""
    for event in settings.client().standing.events(name, after=after):
        if settings.json:
            output.print_json(event)
            continue
        version = f"version {event.version}" if event.version else ""
        parts = (f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind.replace("_", " "), version, event.node, event.why)
        click.echo("  ".join(part for part in parts if part))


@standing.command("set")
@name_argument
@options_of
@json_option
@pass_settings
def change(settings: Settings, /, name: str, **options: Any) -> None:
    """Change one; what is of jobs counts for versions that start from now on."""
    given = {field: value for field, value in _fields(options).items() if value is not None}
    if not given:
        raise click.UsageError("nothing is to be changed: give an option")
    _tell(settings, settings.client().standing.change(name, **given), "changed")


def _tell(settings: Settings, found: Standing, what: str) -> None:
    if settings.json:
        output.print_json(found)
    else:
        version = f"version {found.current_version}" if found.current_version else "no version yet"
        click.echo(f"{what} {found.name}: it is {found.state.replace('_', ' ')}, nodes are to use {version}")


def _act(name: str, past: str, text: str) -> None:
    @standing.command(name, help=text)
    @name_argument
    @json_option
    @pass_settings
    def act(settings: Settings, name: str, _act: str = name) -> None:
        _tell(settings, getattr(settings.client().standing, _act)(name), past)


_act("pause", "paused", "Start no version and switch no node from now on; nodes that join are served.")
_act("resume", "resumed", "Go on after a pause, or use the newest version again after a rollback.")
_act("check", "checked", "Look at the source now.")


@standing.command()
@name_argument
@click.option("--to", "version", type=click.IntRange(1), help="A version that is kept; the one before by default.")
@json_option
@pass_settings
def rollback(settings: Settings, name: str, version: int | None) -> None:
    """Have nodes use an earlier version, at once; newer ones wait until there is one more, or until `resume`."""
    _tell(settings, settings.client().standing.rollback(name, version), "rolled back")


@standing.command()
@name_argument
@click.option("--keep-copies/--purge", "keep", default=None, help="What becomes of versions and links on the nodes.")
@json_option
@pass_settings
def delete(settings: Settings, name: str, keep: bool | None) -> None:
    """End one. Say what becomes of the copies: --keep-copies, or --purge for all nodes to remove them."""
    if keep is None:
        raise click.UsageError("say what becomes of the copies on the nodes: --keep-copies or --purge")
    settings.client().standing.delete(name, purge=not keep)
    if settings.json:
        output.print_json({"deleted": name, "copies": "keep" if keep else "purge"})
    else:
        click.echo(f"deleted {name}; its versions and links {'stay on' if keep else 'are removed from'} the nodes")
