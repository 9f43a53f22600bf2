"""Shows the life of one shard."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from transfers.links import get_links
from transfers.management.arguments import FdistCommand, find_job
from transfers.models import Shard
from transfers.tracing import Trace, trace
from transfers.words import size_text


class Command(FdistCommand):
    help = """Show the life of one shard of a job: when it was assigned, came, was verified, and who passed it on.

What has ended is told by the record, what is under way by the scheduler. Times are UTC."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", help="its id, or the first characters of it")
        parser.add_argument("shard", type=int, help="its number, from 0 on")
        parser.add_argument("--node", default="", help="only what this node received or gave")

    def handle(self, *args: Any, **options: Any) -> None:
        job = find_job(options["job"])
        try:
            found = trace(job, options["shard"], get_links(), options["node"])
        except Shard.DoesNotExist:
            raise CommandError(f"shard: job {job.id.hex} has {job.shard_count:,} shards, from 0 on") from None
        for line in lines(found):
            self.stdout.write(line)


def lines(found: Trace) -> list[str]:
    shard = found.shard
    crc = "not known yet" if shard.crc32c is None else f"{shard.crc32c:08x}"
    copies = "" if found.copies is None else f", copies now {found.copies:,}"
    out = [f"shard {shard.index} of job {found.job.id.hex}: {size_text(shard.size)}, crc32c {crc}{copies}"]
    began = found.steps[0].at if found.steps else None
    for step in found.steps:
        assert began is not None  # noqa: S101  (narrows the type: there is a first step)
        moved = "" if step.bytes is None else f"  {size_text(step.bytes)}"
        why = f"  {step.why}" if step.why else ""
        after = (step.at - began).total_seconds()
        out.append(f"{step.at:%H:%M:%S.%f}  +{after:9.3f} s  {step.what:10}  {step.node} <- {step.source}{moved}{why}")
    if not found.steps:
        out.append("nothing has happened to it")
    if found.served:
        out.append("served: " + ", ".join(f"{node} {times} x" for node, times in found.served.items()))
    if found.left_out:
        out.append(f"{found.left_out:,} transfers more: name a node with --node")
    return out
