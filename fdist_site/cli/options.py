"""Options that several commands take, and how a command takes a list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from fdist_site.cli.context import Size

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Any], Any]

MOVING: tuple[Option, ...] = (
    click.option("--shard-size", type=Size(), help="Such as 64MiB; chosen by the payload's size."),
    click.option("--gcs-slots", type=int, help="Reads from the bucket at once."),
    click.option("--upload-slots", type=int, help="Uploads at once of a node, if less than its own."),
    click.option("--download-slots", type=int, help="Downloads at once of a node, if less than its own."),
    click.option("--priority", type=int, help="A higher one goes first."),
)
OWN_ZONE: Option = click.option(
    "--own-zone/--any-zone",
    default=None,
    help="Whether nodes take from their own zone what it has (default), or from anywhere.",
)


def with_options(command: Command, options: Sequence[Option]) -> Command:
    """The command with these options, in the order in which help shows them."""
    for option in reversed(options):
        command = option(command)
    return command
