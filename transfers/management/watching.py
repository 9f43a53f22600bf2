"""A job's progress in a terminal: bars where there is one, lines where there is none."""

from __future__ import annotations

import time
import uuid
from typing import Any

from django.core.management.base import OutputWrapper
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding  # a bar by itself does not end its line
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from transfers.links import Links
from transfers.live import NodePicture, Picture, read_picture
from transfers.words import count, duration_text, rate_text, size_text

BAR_SECONDS = 0.5
LINE_SECONDS = 2.0
SHOWN_NODES = 20
RATE_WEIGHT = 0.4  # of the newest figure in the smoothed rate
COLOURS = {"done": "green", "failed": "red", "dead": "red", "moving": "cyan", "waiting": "yellow"}
BEGUN = {"moving": 0, "waiting": 1, "ready": 2, "enrolled": 3, "failed": 4, "dead": 5, "done": 6}


def watch(links: Links, job: uuid.UUID, out: OutputWrapper, *, lines: bool = False) -> Picture:
    """Shows the job until it ends; raises SystemExit(1) if it did not complete.

    out: the command's output, which is a terminal or not.
    """
    last = _in_lines(links, job, out) if lines or not out.isatty() else _in_bars(links, job)
    if last.state != "complete":
        raise SystemExit(1)
    return last


class _Rate:
    """Bytes a second, smoothed."""

    def __init__(self) -> None:
        self.value = 0.0
        self.old: Picture | None = None

    def add(self, picture: Picture) -> float:
        if self.old is not None:
            self.value += RATE_WEIGHT * (picture.rate_since(self.old) - self.value)
        self.old = picture
        return self.value


def _in_lines(links: Links, job: uuid.UUID, out: OutputWrapper) -> Picture:
    rate, shown = _Rate(), ""
    while True:
        picture = read_picture(links, job, with_bits=False)
        line = headline(picture, rate.add(picture))
        if line != shown:
            out.write(line)
            shown = line
        if picture.ended:
            return picture
        time.sleep(LINE_SECONDS)


def _in_bars(links: Links, job: uuid.UUID) -> Picture:
    rate = _Rate()
    picture = read_picture(links, job, with_bits=False)
    with Live(console=Console(), refresh_per_second=4) as live:
        while True:
            live.update(render(picture, rate.add(picture)))
            if picture.ended:
                return picture
            time.sleep(BAR_SECONDS)
            picture = read_picture(links, job, with_bits=False)


def headline(picture: Picture, rate: float) -> str:
    """The job in a line: "running 42.0%  3 of 6 nodes  1.2 GB/s  bucket 1.00 x  left 12.0 s"."""
    parts = [
        f"{picture.state} {picture.part:.1%}",
        f"{picture.done:,} of {count(len(picture.nodes), 'node')}",
        f"bucket {picture.bytes_gcs / picture.size:.2f} x",
    ]
    if picture.ended:
        parts.append(f"took {duration_text(picture.elapsed)}")
        if picture.error:
            parts.append(picture.error)
    else:
        parts.append(rate_text(rate))
        left = (1 - picture.part) * len(picture.nodes) * picture.size
        if rate > 0:
            parts.append(f"left {duration_text(left / rate)}")
    if not picture.source_seen:
        parts.append("(the scheduler cannot be reached; this is the record)")
    return "  ".join(parts)


def render(picture: Picture, rate: float) -> Group:
    """The headline, and a bar a node: those that move first, at most SHOWN_NODES."""
    order = sorted(picture.nodes.values(), key=lambda node: (BEGUN.get(node.state, 3), node.held, node.name))
    table = Table.grid(padding=(0, 2))
    for node in order[:SHOWN_NODES]:
        table.add_row(*_row(node, picture))
    parts: list[Any] = [
        Text(f"{picture.name}  {picture.topology}  {size_text(picture.size)}", style="bold"),
        Text(headline(picture, rate)),
        Padding(ProgressBar(total=1.0, completed=picture.part, width=60), 0),
        table,
    ]
    if len(order) > SHOWN_NODES:
        parts.append(Text(f"and {len(order) - SHOWN_NODES:,} more nodes", style="dim"))
    return Group(*parts)


def _row(node: NodePicture, picture: Picture) -> tuple[Any, ...]:
    return (
        Text(node.name),
        ProgressBar(total=picture.shard_count, completed=node.held, width=30),
        Text(f"{node.held / picture.shard_count:6.1%}"),
        Text(node.state, style=COLOURS.get(node.state, "")),
        Text(rate_text(node.rate) if node.rate else ""),
        Text(node.why, style="dim"),
    )
