"""What the commands share: finding jobs, and saying what is wrong in one line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from transfers.errors import FdistError, PlanError
from transfers.models import Job
from transfers.words import parse_size

FEWEST_CHARACTERS = 4


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the lines of examples, shows defaults that say something, and puts Django's own options last."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "") else super()._get_help_string(action)


class FdistCommand(BaseCommand):
    """A command whose help is laid out as it is written.

    It does not begin with Django's checks of the whole site, which load every page and the API: `manage.py check` does
    them, and the tests.
    """

    requires_system_checks: list[str] | tuple[str, ...] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=HelpFormatter, **kwargs)


def find_job(text: str) -> Job:
    """The job with this id, or the one whose id begins so; raises CommandError."""
    start = text.strip().lower().replace("-", "")
    if len(start) < FEWEST_CHARACTERS or start.strip("0123456789abcdef"):
        raise CommandError(f'"{text}" is no job id: give at least its first {FEWEST_CHARACTERS} characters')
    low, high = start.ljust(32, "0"), start.ljust(32, "f")
    found = list(Job.objects.filter(cell=settings.FDIST_CELL, id__gte=low, id__lte=high)[:2])
    if not found:
        raise CommandError(f"no job begins with {text}")
    if len(found) > 1:
        raise CommandError(f"several jobs begin with {text}: give more of the id")
    return found[0]


def size_argument(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def refuse(error: FdistError) -> NoReturn:
    """Ends the command with the error's own sentence, and the option that it is about."""
    if isinstance(error, PlanError):
        raise CommandError(f"{error.field}: {error.message}") from error
    raise CommandError(str(error)) from error
