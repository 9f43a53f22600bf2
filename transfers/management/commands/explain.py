"""manage.py explain: why nodes got what they got from whom, and why they waited."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

from transfers.links import get_links
from transfers.management.arguments import FdistCommand, find_job
from transfers.scheduler.decisions import Ended

EPILOG = """\
The log is the scheduler's, has the newest 10,000 and more lines of a job, and is kept as long as Redis holds the job.

Examples:
  manage.py explain 3f2a --node gpu-07 --last 20
  manage.py explain 3f2a --json > log        every decision; `python -m tests.simulation.replay log` plays it again
"""


class Command(FdistCommand):
    help = "Why nodes were given what they got, from whom, and why they waited."
    epilog = EPILOG

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", metavar="JOB", help="id of a job, or its first characters")
        parser.add_argument("--node", help="only what was decided for this node")
        parser.add_argument("--last", type=int, help="only so many, the newest")
        parser.add_argument("--json", action="store_true", help="one JSON object a line, with everything")

    def handle(self, *args: Any, **options: Any) -> None:
        job = find_job(options["job"])
        found = get_links().scheduler.decisions(job.id.hex)
        if not options["json"]:
            found = [each for each in found if not isinstance(each, Ended)]
        if options["node"]:
            found = [each for each in found if getattr(each, "node", None) == options["node"]]
        for each in found[-options["last"] :] if options["last"] else found:
            if options["json"]:
                self.stdout.write(json.dumps({"kind": type(each).__name__.lower(), **asdict(each)}))
            else:
                at = datetime.fromtimestamp(each.at / 1000, UTC)
                self.stdout.write(f"{at:%H:%M:%S}.{each.at % 1000:03d}  {each}")
        if not found:
            self.stderr.write("no decisions are there: nothing was decided yet, or Redis holds the job no longer")
