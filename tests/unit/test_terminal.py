"""What a job looks like in a terminal: each bar on a line of its own, with its figures."""

from __future__ import annotations

import io

from rich.console import Console

from transfers.progress import JobProgress, NodeProgress, Pace
from transfers.terminal import render


def test_each_node_has_a_line_with_its_bar_rate_time_left_and_source() -> None:
    nodes = tuple(NodeProgress(f"node-{i:02d}", "moving", 10, 0.5, 9e6, ("bucket",), 3.7) for i in range(1, 4))
    progress = JobProgress("mesh", "running", "", 2.0, 0.5, 27e6, 3.7, 10, nodes)
    output = io.StringIO()
    Console(file=output, width=110, force_terminal=True, color_system=None).print(render(progress))
    headline, bar, *rows = output.getvalue().splitlines()
    assert headline.startswith("mesh  running  50.0%")
    assert set(bar.strip()) <= set("━╸╺ ")
    assert [row.split()[0] for row in rows] == ["node-01", "node-02", "node-03"]
    for row in rows:
        assert row.split()[2:] == ["50.0%", "moving", "9.0", "MB/s", "3.7", "s", "bucket"]


def screen(progress: JobProgress, width: int, height: int) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, force_terminal=True, color_system=None).print(render(progress, width, height))
    return output.getvalue().splitlines()


def test_a_screen_of_80_columns_shows_nodes_whole_and_cuts_what_is_left_over() -> None:
    why = "node gpu-01 has 91.2 GB free and the job needs 140.0 GB"
    nodes = (NodeProgress("gpu-01", "failed", 0, 0.0, why=why), NodeProgress("gpu-02", "done", 100, 1.0))
    progress = JobProgress("mesh", "running", "", 2.0, 0.5, 27e6, 3.7, 10, nodes, name="llama", size=10**9)
    lines = screen(progress, 80, 24)
    assert max(map(len, lines)) <= 80
    assert sum("gpu-0" in line for line in lines) == 2
    assert any(line.rstrip().endswith("…") for line in lines)


def test_where_the_screen_has_no_room_for_all_nodes_those_that_move_are_shown() -> None:
    done = tuple(NodeProgress(f"d{i}", "done", 10, 1.0) for i in range(50))
    progress = JobProgress("mesh", "running", "", 2.0, 0.5, 0, None, 10, (*done, NodeProgress("m", "moving", 1, 0.1)))
    lines = screen(progress, 120, 16)
    assert len(lines) <= 16
    assert any(line.startswith("m ") for line in lines)
    assert lines[-1].strip() == "and 41 more nodes"


def test_a_rate_is_taken_over_the_last_seconds_only() -> None:
    pace = Pace(window=5)
    assert [pace.add(at, total) for at, total in ((0, 0), (1, 10), (5, 50), (10, 550))] == [0, 10, 10, 100]
