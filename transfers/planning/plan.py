"""The plan of a job: its layout, its destination, its first nodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from transfers.dataplane.digest import combine_crc32c
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.dataplane.names import check_destination
from transfers.errors import PlanError
from transfers.planning.cutting import MAX_SHARDS, choose_shard_size
from transfers.planning.listing import Listing, SourceObject, check_objects
from transfers.planning.manifest import ManifestFile, ManifestShard
from transfers.planning.request import JobRequest
from transfers.planning.targets import NodeFacts, check_room, choose_nodes
from transfers.words import count, few

DOCUMENT_VERSION = 1
MAX_FILES = 200_000
MAX_FILE_NAME = 1024  # characters, as the record keeps them


@dataclass(frozen=True)
class JobPlan:
    """facts: of the nodes that are enrolled at once; later ones that match request.nodes follow.

    origins: of each file the object that it is, None for a file of several shards. bucket_budget: bytes, None for none.
    """

    request: JobRequest
    layout: Layout
    destination: str
    facts: tuple[NodeFacts, ...]
    origins: tuple[OriginObject | None, ...]
    bucket_budget: int | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.facts)

    def document(self, job: str) -> str:
        """The plan as every node gets it through the scheduler."""
        return json.dumps(
            {
                "v": DOCUMENT_VERSION,
                "job": job,
                "destination": self.destination,
                "layout": json.loads(self.layout.to_json()),
            },
            separators=(",", ":"),
        )


def plan_job(request: JobRequest, listing: Listing, nodes: Sequence[NodeFacts]) -> JobPlan:
    """The plan of what was asked; raises PlanError for the first thing that cannot work."""
    plan = draft_job(request, listing, nodes)
    check_room(plan.facts, plan.layout.size)
    return plan


def draft_job(request: JobRequest, listing: Listing, nodes: Sequence[NodeFacts]) -> JobPlan:
    """As `plan_job`, and the payload may be larger than what a node has free."""
    destination = listing.uri.folder if request.destination is None else request.destination
    check_destination(destination)
    chosen = tuple(choose_nodes(request.nodes, nodes))
    if listing.manifest:
        layout, origins = _from_manifest(request, listing)
    else:
        layout, origins = _from_objects(request, listing, len(chosen))
    budget = request.bucket_budget.of(layout.size) if request.bucket_budget else None
    return JobPlan(request, layout, destination, chosen, origins, budget)


def _from_objects(request: JobRequest, listing: Listing, nodes: int) -> tuple[Layout, tuple[OriginObject | None, ...]]:
    uri = listing.uri
    # Consoles make empty objects that end with "/" to show a folder; they are no files.
    found = sorted((item for item in listing.objects if not item.name.endswith("/")), key=lambda item: item.name)
    if not found:
        raise PlanError("source", f"{uri} holds no object")
    _check_count(len(found))
    check_objects(found)
    base = uri.name if uri.kind == "prefix" else uri.folder + "/" if uri.folder else ""
    origins = tuple(item.pinned() for item in found)
    size = sum(item.size for item in found)
    if size == 0:
        raise PlanError("source", f"{uri} holds {count(len(found), 'object')} and not one byte")
    files = tuple(PayloadFile(item.name.removeprefix(base), item.size, item.crc32c) for item in found)
    _check_lengths(files)
    return Layout(origins, files, choose_shard_size(request.shard_size, size, nodes)), origins


def _from_manifest(request: JobRequest, listing: Listing) -> tuple[Layout, tuple[OriginObject | None, ...]]:
    manifest, uri = listing.manifest, listing.uri
    assert manifest is not None  # noqa: S101  (narrows the type for the caller's test)
    if request.shard_size is not None:
        raise PlanError("shard_size", "the shards of a manifest are cut already; leave shard_size out")
    _check_count(len(manifest.files))
    there = {(item.bucket, item.name): item for item in listing.objects}
    if missing := [f"gs://{s.bucket}/{s.name}" for s in manifest.shards() if (s.bucket, s.name) not in there]:
        raise PlanError("source", f"the manifest {uri} lists objects that do not exist: {few(missing)}")
    check_objects([there[shard.bucket, shard.name] for shard in manifest.shards()])
    files: list[PayloadFile] = []
    objects: list[OriginObject] = []
    origins: list[OriginObject | None] = []
    for file in sorted(manifest.files, key=lambda item: item.name):
        parts = [_agreeing(shard, there[shard.bucket, shard.name]) for shard in file.shards]
        files.append(_whole_file(file, parts))
        objects += [part for part in parts if part.size]
        origins.append(parts[0] if len(parts) == 1 else None)
    if not objects:
        raise PlanError("source", f"the manifest {uri} lists not one byte")
    if len(objects) > MAX_SHARDS:
        raise PlanError(
            "source", f"the manifest {uri} lists {len(objects):,} shards, and a job has at most {MAX_SHARDS:,}"
        )
    _check_lengths(files)
    cuts = tuple(accumulate(item.size for item in objects))
    largest = max(item.size for item in objects)
    return Layout(tuple(objects), tuple(files), largest, cuts), tuple(origins)


def _agreeing(shard: ManifestShard, found: SourceObject) -> OriginObject:
    """The object of a shard, if it is what the manifest says that it is."""
    for what in ("size", "crc32c", "generation"):
        said, is_ = getattr(shard, what), getattr(found, what)
        if said is not None and said != is_:
            raise PlanError("source", f"the manifest says that {found.uri} has the {what} {said}, and it has {is_}")
    return found.pinned()


def _whole_file(file: ManifestFile, parts: Sequence[OriginObject]) -> PayloadFile:
    """The file that the parts make; what the manifest says of it must agree with what the bucket says of them."""
    size, crc32c = 0, 0
    for part in parts:
        assert part.crc32c is not None  # noqa: S101  (check_objects refused those)
        crc32c = combine_crc32c(crc32c, part.crc32c, part.size)
        size += part.size
    if file.size is not None and file.size != size:
        raise PlanError(
            "source", f'the manifest says that "{file.name}" has {file.size:,} bytes, its shards have {size:,}'
        )
    if file.crc32c is not None and file.crc32c != crc32c:
        raise PlanError(
            "source", f'the manifest says that "{file.name}" has the crc32c {file.crc32c}, its shards make {crc32c}'
        )
    return PayloadFile(file.name, size, crc32c)


def _check_count(files: int) -> None:
    if files > MAX_FILES:
        raise PlanError(
            "source", f"{files:,} files, and a job has at most {MAX_FILES:,}: split the prefix, or pack them"
        )


def _check_lengths(files: Sequence[PayloadFile]) -> None:
    if long := [file.name[:60] for file in files if len(file.name) > MAX_FILE_NAME]:
        raise PlanError("source", f"names of more than {MAX_FILE_NAME} characters: {few(long)}")
