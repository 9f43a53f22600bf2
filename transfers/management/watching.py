"""Follows a job from a command that has the coordinator's own connections."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable

from django.core.management.base import OutputWrapper
from rich.console import Console

from transfers.links import Links
from transfers.live import Picture, read_picture
from transfers.progress import JobProgress, NodeProgress, Pace, seconds_left
from transfers.terminal import follow, polled

LOOK_SECONDS = 0.5


def watch(links: Links, job: uuid.UUID, out: OutputWrapper, *, lines: bool = False) -> JobProgress:
    """Shows the job until it ends; raises SystemExit(1) if it did not complete.

    out: the command's output, which is a terminal or not.
    """
    pace = Pace()

    def look() -> JobProgress:
        picture = read_picture(links, job, with_bits=False)
        return progress_of(picture, pace.add(picture.at, picture.bytes_gcs + picture.bytes_peer))

    looks: Iterable[JobProgress] = polled(look, LOOK_SECONDS, lambda: None)
    console = Console() if out.isatty() else Console(file=out)  # type: ignore[arg-type]
    last = follow(looks, console, lines=lines)
    if last.state != "complete":
        raise SystemExit(1)
    return last


def progress_of(picture: Picture, rate: float) -> JobProgress:
    """rate: bytes a second into all nodes together."""
    sources: dict[str, set[str]] = defaultdict(set)
    for transfer in picture.transfers:
        sources[transfer.node].add(transfer.source or "bucket")
    nodes = []
    for node in picture.nodes.values():
        part = node.held / picture.shard_count
        left = (1 - part) * picture.size / node.rate if node.rate else None
        nodes.append(
            NodeProgress(
                name=node.name,
                state=node.state,
                received=round(part * picture.size),
                part=part,
                rate=node.rate,
                sources=tuple(sorted(sources[node.name])),
                left=left,
                why=node.why,
            )
        )
    return JobProgress(
        topology=picture.topology,
        state=picture.state,
        reason=picture.error,
        elapsed=picture.elapsed,
        part=picture.part,
        rate=rate,
        left=seconds_left(picture.part, len(picture.nodes), picture.size, rate),
        bytes_gcs=picture.bytes_gcs,
        nodes=tuple(nodes),
        name=picture.name,
        size=picture.size,
        note="" if picture.source_seen else "the scheduler cannot be reached; this is the record",
    )
