"""Shows a job's progress until it ends."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from transfers.links import get_links
from transfers.management.arguments import FdistCommand, find_job
from transfers.management.watching import watch


class Command(FdistCommand):
    help = """Show a job's progress, in all and per node, until it ends.

In a terminal: bars that move. Elsewhere (a pipe, a log): a line every few seconds.
Exit code 0 when the job is complete, 1 when it failed or was cancelled. Ctrl-C ends the watching, not the job."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", help="its id, or the first characters of it")
        parser.add_argument("--lines", action="store_true", help="lines instead of bars, also in a terminal")

    def handle(self, *args: Any, **options: Any) -> None:
        job = find_job(options["job"])
        watch(get_links(), job.id, self.stdout, lines=options["lines"])
