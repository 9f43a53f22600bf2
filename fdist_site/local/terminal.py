"""A job's progress as a person sees it: bars in a terminal, a line now and then elsewhere; and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding  # a bar by itself does not end its line
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fdist_site.local.figures import Figures
from fdist_site.local.progress import JobProgress, Watcher
from transfers.words import duration_text, rate_text, size_text

LOOK_SECONDS = 0.4
LINE_SECONDS = 2.0
STYLES = {"done": "green", "failed": "red", "dead": "red", "waiting": "yellow", "moving": "cyan"}


def follow(watcher: Watcher, console: Console, meanwhile: Callable[[], None]) -> JobProgress:
    """Show a job until it ends. meanwhile: called at each look, to check on other things; what it raises ends this."""
    if not console.is_terminal:
        return _follow_in_lines(watcher, console, meanwhile)
    progress = watcher.look()
    with Live(render(progress), console=console, refresh_per_second=8, transient=False) as live:
        while not progress.ended:
            meanwhile()
            time.sleep(LOOK_SECONDS)
            progress = watcher.look()
            live.update(render(progress))
    return progress


def _follow_in_lines(watcher: Watcher, console: Console, meanwhile: Callable[[], None]) -> JobProgress:
    printed = float("-inf")
    while True:
        progress = watcher.look()
        if progress.ended or time.monotonic() - printed >= LINE_SECONDS:
            console.print(headline(progress), highlight=False, soft_wrap=True)
            console.print("   ", "  ".join(f"{n.name} {n.part:.0%}" for n in progress.nodes), soft_wrap=True)
            printed = time.monotonic()
        if progress.ended:
            return progress
        meanwhile()
        time.sleep(LOOK_SECONDS)


def headline(progress: JobProgress) -> str:
    """ "mesh  running  42.0%  1.2 GB/s  left 12.0 s  out of the bucket 215.0 MB"."""
    parts = [progress.topology, progress.state, f"{progress.part:.1%}"]
    if progress.ended:
        parts.append(f"after {duration_text(progress.elapsed)}")
    else:
        parts += [rate_text(progress.rate), f"left {_left(progress.left)}"]
    parts.append(f"out of the bucket {size_text(progress.bytes_gcs)}")
    return "  ".join([*parts, progress.reason] if progress.reason else parts)


def render(progress: JobProgress) -> Group:
    """The headline and a bar for the job; a bar, the rate, the sources and the time left for each node."""
    table = Table.grid(padding=(0, 2))
    for column in ("node", "bar", "part", "state", "rate", "left", "from"):
        table.add_column(justify="right" if column in ("part", "rate", "left") else "left", no_wrap=True)
    for node in progress.nodes:
        done = node.state == "done"
        table.add_row(
            node.name,
            ProgressBar(total=1.0, completed=node.part, width=28),
            f"{node.part:6.1%}",
            Text(node.state, style=STYLES.get(node.state, "")),
            "" if done else rate_text(node.rate),
            "" if done else _left(node.left),
            Text(", ".join(node.sources), style="dim"),
        )
    return Group(
        Text(headline(progress), style="bold"),
        Padding(ProgressBar(total=1.0, completed=progress.part, width=60), 0),
        table,
    )


def _left(seconds: float | None) -> str:
    return "?" if seconds is None else duration_text(seconds)


def summary(figures: Sequence[Figures]) -> Table:
    """One column a job, one row a figure."""
    table = Table(title="summary", title_justify="left")
    table.add_column("")
    for each in figures:
        table.add_column(each.topology, justify="right")

    def row(name: str, cell: Callable[[Figures], str]) -> None:
        table.add_row(name, *(cell(each) for each in figures))

    row("wall time, until the last node has every file", lambda f: duration_text(f.wall))
    row("out of the bucket / payload", lambda f: f"{f.amplification:.3f}")
    row("rate per node, median", lambda f: rate_text(f.size / f.seconds_at(0.5)))
    row("rate of the last node", lambda f: rate_text(f.size / f.wall))
    for name, part in (("p50", 0.5), ("p99", 0.99), ("last", 1.0)):
        row(f"efficiency (F/B)/T, {name}", lambda f, part=part: _figure(f.efficiency_at(part)))  # type: ignore[misc]
    row("from the job's creation to the first transfer", lambda f: duration_text(f.first_transfer))
    row("from the last shard to the last file in place", lambda f: duration_text(f.last_step))
    row("lower bound", lambda f: "no rate given" if f.bound is None else duration_text(f.bound))
    row("wall time / lower bound", lambda f: _figure(f.ratio))
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
