"""What a finished job reached, beside what any method could have reached; and the table that says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfers.words import duration_text, rate_text

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Figures:
    """node_seconds: from the job's creation until the node's files are whole and in place.

    bound: seconds that no schedule can beat. ideal: F / B, seconds. Both None where no rate is known.
    first_transfer: from the job's creation until the first transfer began. last_step: from the last shard's arrival
    until the last node's files were checked and in place. Both in seconds, None where nobody measured them.
    """

    topology: str
    size: int
    amplification: float
    node_seconds: tuple[float, ...]
    bound: float | None = None
    ideal: float | None = None
    first_transfer: float | None = None
    last_step: float | None = None

    @property
    def wall(self) -> float:
        return max(self.node_seconds, default=math.nan)

    @property
    def ratio(self) -> float | None:
        """Wall time over the lower bound: 1.0 cannot be beaten."""
        return self.wall / self.bound if self.bound else None

    def seconds_at(self, part: float) -> float:
        """The time by which this part of the nodes was done, by nearest rank."""
        return quantile(self.node_seconds, part)

    def efficiency_at(self, part: float) -> float | None:
        """(F / B) / T for the node at this part of the ranking."""
        return self.ideal / self.seconds_at(part) if self.ideal else None


def quantile(values: Sequence[float], part: float) -> float:
    """Nearest rank: the smallest value that at least this part of the values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(part * len(ranked)) - 1)] if ranked else math.nan


def summary(figures: Sequence[Figures]) -> Table:
    """One column a job, one row a figure."""
    from rich.table import Table

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
    if any(each.first_transfer is not None for each in figures):
        row("from the job's creation to the first transfer", lambda f: _duration(f.first_transfer))
        row("from the last shard to the last file in place", lambda f: _duration(f.last_step))
    if any(each.bound is not None for each in figures):
        row("lower bound", lambda f: _duration(f.bound))
        row("wall time / lower bound", lambda f: _figure(f.ratio))
    return table


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else duration_text(seconds)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
