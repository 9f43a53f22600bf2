"""fdist login, logout, completion."""

from __future__ import annotations

import sys
from contextlib import suppress

import click
from click.shell_completion import get_completion_class

from fdist_site.cli import output
from fdist_site.cli.config import Config, config_path, load, save
from fdist_site.cli.context import Settings, json_option, pass_settings

COMPLETE = "_FDIST_COMPLETE"


@click.command()
@click.option("--url", default="", help="The coordinator's address.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input, for scripts.")
@json_option
@pass_settings
def login(settings: Settings, url: str, token_stdin: bool) -> None:
    """Keep a token, after trying it, in a file that only you can read.

    A token is made on the coordinator: manage.py token USER
    """
    from transfers.client import Fdist, NotAllowed

    address = load(url or settings.url).url
    token = sys.stdin.readline() if token_stdin else click.prompt(f"Token for {address}", hide_input=True)
    token = token.strip()
    if not token:
        raise click.UsageError("no token was given: `manage.py token USER` on the coordinator makes one")
    with Fdist(address, token) as client, suppress(NotAllowed):  # a good token, whose user may not see the cell
        client.cell()
    path = save(Config(address, token))
    if settings.json:
        output.print_json({"url": address, "file": str(path)})
    else:
        click.echo(f"logged in to {address}; the token is in {path}")


@click.command()
@json_option
@pass_settings
def logout(settings: Settings) -> None:
    """Forget the token that `fdist login` has kept."""
    path = config_path()
    path.unlink(missing_ok=True)
    if settings.json:
        output.print_json({"file": str(path)})
    else:
        click.echo(f"{path} is gone; the token stays valid until it is deleted in the admin")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    \b
    bash:  fdist completion bash > ~/.local/share/bash-completion/completions/fdist
    zsh:   fdist completion zsh > "${fpath[1]}/_fdist"
    fish:  fdist completion fish > ~/.config/fish/completions/fdist.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  (click has the three)
    root = context.find_root()
    click.echo(kind(root.command, {}, "fdist", COMPLETE).source())
