"""A job's progress as a person sees it: bars in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding  # a bar by itself does not end its line
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from transfers.progress import JobProgress
from transfers.words import count, duration_text, few, rate_text, size_text

LINE_SECONDS = 2.0
STYLES = {"done": "green", "failed": "red", "dead": "red", "waiting": "yellow", "moving": "cyan"}
FRAME_LINES = 6  # of a screen that are no node's: headlines, the job's bar, what is left out
NARROW = 100  # columns below which bars are shorter
OTHER_COLUMNS = 46  # width of part, state, rate, time left and what is between all columns
NAMED_NODES = 8  # in a line


def follow(looks: Iterable[JobProgress], console: Console, *, lines: bool = False) -> JobProgress:
    """Shows each look at a job as it comes; gives the last. lines: also in a terminal."""
    last: JobProgress | None = None
    for last in _printed(looks, console) if lines or not console.is_terminal else _drawn(looks, console):  # noqa: B007
        pass
    if last is None:
        raise ValueError("there was nothing to look at")
    return last


def _drawn(looks: Iterable[JobProgress], console: Console) -> Iterable[JobProgress]:
    with Live(console=console, refresh_per_second=8, vertical_overflow="crop") as live:
        for progress in looks:
            live.update(render(progress, console.width, console.height))
            yield progress


def _printed(looks: Iterable[JobProgress], console: Console) -> Iterable[JobProgress]:
    printed, shown = float("-inf"), ""
    for progress in looks:
        text = in_lines(progress)
        if (progress.ended or time.monotonic() - printed >= LINE_SECONDS) and text != shown:
            console.print(text, highlight=False, soft_wrap=True, markup=False)
            printed, shown = time.monotonic(), text
        yield progress


def polled(look: Callable[[], JobProgress], pause: float, meanwhile: Callable[[], None]) -> Iterable[JobProgress]:
    """Looks until the job has ended, `pause` seconds apart. meanwhile: called between; what it raises ends this."""
    while True:
        progress = look()
        yield progress
        if progress.ended:
            return
        meanwhile()
        time.sleep(pause)


def headline(progress: JobProgress) -> str:
    """ "mesh  running  42.0%  3 of 6 nodes  1.2 GB/s  left 12.0 s  out of the bucket 215.0 MB"."""
    parts = [progress.topology, progress.state, f"{progress.part:.1%}"]
    parts.append(f"{progress.done:,} of {count(len(progress.nodes), 'node')}")
    if progress.ended:
        parts.append(f"after {duration_text(progress.elapsed)}")
    else:
        parts += [rate_text(progress.rate), f"left {_left(progress.left)}"]
    parts.append(f"out of the bucket {size_text(progress.bytes_gcs)}")
    if progress.size:
        parts[-1] += f" ({progress.bytes_gcs / progress.size:.2f} x)"
    return "  ".join([*parts, *filter(None, (progress.reason, progress.note and f"({progress.note})"))])


def in_lines(progress: JobProgress) -> str:
    """The headline, and below it the nodes that are not done."""
    nodes = [f"{node.name} {node.part:.0%}" for node in progress.nearest_to_moving if node.state != "done"]
    return headline(progress) + (f"\n    {few(nodes, NAMED_NODES)}" if nodes else "")


def render(progress: JobProgress, width: int = 120, height: int = 1000) -> Group:
    """The headline and a bar for the job; a bar, the rate, the sources and the time left for each node.

    width, height: of the screen. Where it has not the lines for all nodes, those that move come first.
    """
    room = max(1, height - FRAME_LINES)
    rows = list(progress.nodes) if len(progress.nodes) <= room else progress.nearest_to_moving[:room]
    bar = 28 if width >= NARROW else 14
    over = width - bar - OTHER_COLUMNS - max((len(node.name) for node in rows), default=0)
    table = Table.grid(padding=(0, 2))
    for column in ("node", "bar", "part", "state", "rate", "left"):
        table.add_column(justify="right" if column in ("part", "rate", "left") else "left", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(1, over))
    for node in rows:
        done = node.state == "done"
        table.add_row(
            Text(node.name),
            ProgressBar(total=1.0, completed=node.part, width=bar),
            f"{node.part:6.1%}",
            Text(node.state, style=STYLES.get(node.state, "")),
            "" if done else rate_text(node.rate),
            "" if done else _left(node.left),
            Text(node.why or ", ".join(node.sources), style="dim"),
        )
    parts: list[Any] = [
        Text(headline(progress), style="bold"),
        Padding(ProgressBar(total=1.0, completed=progress.part, width=60), 0),
        table,
    ]
    if progress.name:
        parts.insert(0, Text(f"{progress.name}  {size_text(progress.size)}", style="dim"))
    if len(rows) < len(progress.nodes):
        parts.append(Text(f"and {len(progress.nodes) - len(rows):,} more nodes", style="dim"))
    return Group(*parts)


def _left(seconds: float | None) -> str:
    return "?" if seconds is None else duration_text(seconds)
