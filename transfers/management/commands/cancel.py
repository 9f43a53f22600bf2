"""Cancels a job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from transfers import submission
from transfers.errors import FdistError
from transfers.management.arguments import FdistCommand, find_job, refuse


class Command(FdistCommand):
    help = """Cancel a job: transfers stop at once, and nodes remove what they have not finished.

Files that are whole on a node stay there; `purge` removes them."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", help="its id, or the first characters of it")
        parser.add_argument("--reason", default="", help="kept in the job's record")

    def handle(self, *args: Any, **options: Any) -> None:
        job = find_job(options["job"])
        try:
            submission.cancel(job, options["reason"])
        except FdistError as error:
            refuse(error)
        self.stdout.write(f"{job.id.hex} is cancelled")
