"""Fills the record with made-up history, to measure on."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from nodes.models import Node
from transfers.management.arguments import FdistCommand
from transfers.models import Job
from transfers.synthetic import Sizes, fill


class Command(FdistCommand):
    help = """Fill the database with made-up nodes, jobs, shards, transfers and events, to measure pages and lists on.

The same seed gives the same record. A million transfers take a minute or two. A record that has nodes or jobs already
is left alone unless --add is given: what was made up cannot be told from what happened, but by its names
(synthetic-00017, gs://synthetic/...)."""

    def add_arguments(self, parser: CommandParser) -> None:
        sizes = Sizes()
        parser.add_argument("--nodes", type=int, default=sizes.nodes, help="nodes of the fleet")
        parser.add_argument("--jobs", type=int, default=sizes.jobs, help="jobs; the newest still runs")
        parser.add_argument("--transfers", type=int, default=sizes.transfers, help="transfers of all jobs, about")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same record")
        parser.add_argument("--add", action="store_true", help="also if the record has nodes or jobs")

    def handle(self, *args: Any, **options: Any) -> None:
        for name, least in (("nodes", 2), ("jobs", 1), ("transfers", 1)):
            if options[name] < least:
                raise CommandError(f"--{name}: {options[name]} is less than {least}")
        if not options["add"] and (Node.objects.exists() or Job.objects.exists()):
            raise CommandError("the record has nodes or jobs: name an empty database, or give --add to fill this one")
        sizes = Sizes(options["nodes"], options["jobs"], options["transfers"])
        fill(settings.FDIST_CELL, sizes, options["seed"], timezone.now(), self.stdout.write)
