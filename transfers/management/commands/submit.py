"""Submits a job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from nodes.labels import describe, parse_labels
from transfers import submission
from transfers.errors import FdistError
from transfers.links import get_links
from transfers.management.arguments import FdistCommand, refuse, size_argument
from transfers.management.watching import watch
from transfers.planning.request import DEFAULT_GCS_SLOTS, POLICIES
from transfers.words import count, size_text


class Command(FdistCommand):
    help = """Distribute an object, a prefix or a manifest of pre-cut shards from the bucket to nodes.

examples:
  submit gs://weights/llama-70b/                             to every node, by mesh
  submit gs://weights/llama-70b/ --labels zone=a,kind=h100   to the nodes with both labels, now and later
  submit gs://weights/model.bin --nodes gpu-01,gpu-02 --topology pipeline --wait
  submit gs://weights/cut/model.fdist.json                   a manifest: its objects are the shards"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="gs://bucket/object, gs://bucket/prefix/ or gs://bucket/name.fdist.json")
        parser.add_argument("--topology", choices=["mesh", "pipeline"], default="mesh", help="how shards travel")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--nodes", help="names, with commas between; every live node unless given")
        where.add_argument("--labels", help="key=value,key=value: the nodes that have all of them")
        parser.add_argument(
            "--destination", help="folder below each node's data directory; the source's own by default"
        )
        parser.add_argument("--name", default="", help="for lists and pages")
        parser.add_argument("--shard-size", type=size_argument, help="such as 64MiB; chosen by the payload's size")
        parser.add_argument("--gcs-slots", type=int, default=DEFAULT_GCS_SLOTS, help="reads from the bucket at once")
        parser.add_argument("--upload-slots", type=int, help="uploads at once of a node, if less than its own")
        parser.add_argument("--download-slots", type=int, help="downloads at once of a node, if less than its own")
        parser.add_argument("--priority", type=int, default=0, help="a higher one goes first")
        parser.add_argument("--policy", choices=POLICIES, default=POLICIES[0], help="which shard a node gets next")
        parser.add_argument("--quorum", type=float, default=1.0, help="part of the nodes with which it is ready")
        parser.add_argument(
            "--any-zone",
            dest="own_zone",
            action="store_false",
            help="let nodes take from any zone, not from their own what it has",
        )
        parser.add_argument("--bucket-budget", help="most to read from the bucket, such as 1.2x or 150GB")
        parser.add_argument("--wait", action="store_true", help="show progress until it ends; exit code 1 if it failed")

    def handle(self, *args: Any, **options: Any) -> str | None:
        asked = (
            "source",
            "topology",
            "destination",
            "name",
            "shard_size",
            "gcs_slots",
            "upload_slots",
            "download_slots",
            "priority",
            "policy",
            "quorum",
            "own_zone",
            "bucket_budget",
        )
        request = {key: options[key] for key in asked}
        request["nodes"] = self._selector(options)
        try:
            job = submission.submit(request)
        except FdistError as error:
            refuse(error)
        self.stdout.write(
            f"{job.id.hex}  {size_text(job.size)} in {count(job.file_count, 'file')}, "
            f"{count(job.shard_count, 'shard')}, by {job.topology} to {describe(job.selector)}"
        )
        if options["wait"]:
            watch(get_links(), job.id, self.stdout)
        return None

    def _selector(self, options: dict[str, Any]) -> Any:
        if options["nodes"]:
            return [name.strip() for name in options["nodes"].split(",") if name.strip()]
        if options["labels"]:
            try:
                return {"labels": parse_labels(options["labels"])}
            except ValueError as error:
                self.stderr.write(f"labels: {error}")
                raise SystemExit(2) from None
        return {"all": True}
