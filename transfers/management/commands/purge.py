"""Removes a job's files from its nodes."""

from __future__ import annotations

from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser

from transfers import submission
from transfers.errors import FdistError
from transfers.management.arguments import FdistCommand, find_job, refuse
from transfers.words import count


class Command(FdistCommand):
    help = """Remove the files of a job that has ended from every node that got them.

The record (jobs, transfers) stays. Nodes that are away remove the files when they come back, as long as Redis keeps
their orders; the command may be repeated."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", help="its id, or the first characters of it")

    def handle(self, *args: Any, **options: Any) -> None:
        job = find_job(options["job"])
        try:
            told = submission.purge(job)
        except FdistError as error:
            refuse(error)
        except redis.RedisError as error:
            raise CommandError(
                f"not every node was told, since Redis does not answer ({error}); run it again"
            ) from error
        self.stdout.write(f"{count(told, 'node')} will remove the files of {job.id.hex}")
