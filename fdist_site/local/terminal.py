"""The table at the end of what was measured: what each job reached, beside what could have been reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.table import Table

from fdist_site.local.figures import Figures
from transfers.words import duration_text, rate_text


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
