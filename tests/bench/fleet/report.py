"""The tables: each method's time as a ratio to the bound, beside the goal and what left the origin."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

from tests.bench.fleet.scenario import Result, Scenario, Skipped, median_run, spread

COLUMNS = "| method | last node, s | / T* | runs, / T* | copies out of the origin | CPU s / GB | longest pause, s | |"
RULE = "| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |"


def heading(scenario: Scenario, share: float, goals: Sequence[str]) -> None:
    judged = len(scenario.judged)
    print(f"\n## {scenario.name}\n")
    print(
        f"{scenario.nodes} nodes, {scenario.size / 1e6:.0f} MB, links of {scenario.rate / 1e6:.0f} Mbit/s "
        f"(the origin's {scenario.origin_rate / 1e6:.0f}), of which a connection's payload gets {share:.3f}; "
        f"T* = {scenario.bound(share):.2f} s for {judged} nodes; load {os.getloadavg()[0]:.1f}"
    )
    if scenario.slow:
        print(f"slow: {', '.join(f'node {node} with {rate / 1e6:.1f} Mbit/s' for node, rate in scenario.slow.items())}")
    if scenario.fault:
        what = {"kill": "its processes are killed", "cut": "its link is cut"}[scenario.fault]
        print(f"half-way node {scenario.nodes - 1} is lost: {what}")
    for goal in goals:
        print(f"goal: {goal}")
    print(f"\n{COLUMNS}\n{RULE}")
    sys.stdout.flush()


def row(scenario: Scenario, share: float, runs: list[Result]) -> Result:
    """Print a method's line; gives its median run."""
    judged, bound = scenario.judged, scenario.bound(share)
    middle = median_run(runs, judged)
    least, _, most = spread(runs, judged)
    ratios = f"{least / bound:.3f} to {most / bound:.3f} of {len(runs)}" if len(runs) > 1 else ""
    last = middle.last(judged)
    delivered = scenario.size * len(judged) / 1e9
    cells = [middle.method, _number(last, 2), _number(last / bound, 3), ratios, _number(middle.copies, 2)]
    cells += [_number(middle.cpu / delivered, 2), _number(middle.pause, 2), middle.notes]
    print(f"| {' | '.join(cells)} |", flush=True)
    return middle


def skipped(what: Skipped) -> None:
    print(f"| {what.method} | skipped: {what.why} | | | | | | |", flush=True)


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
