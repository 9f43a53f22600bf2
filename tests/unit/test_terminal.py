"""What a job looks like in a terminal: each bar on a line of its own, with its figures."""

from __future__ import annotations

import io

from rich.console import Console

from fdist_site.local.progress import JobProgress, NodeProgress
from fdist_site.local.terminal import render


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
