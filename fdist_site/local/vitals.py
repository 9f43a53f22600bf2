"""What the system knows of a local process: the most memory that it ever had, and how long it has lived."""

from __future__ import annotations

import os
import time
from pathlib import Path

START_TIME = 19  # place in /proc/<pid>/stat, counted after the program's name


def peak_memory(pid: int) -> int:
    """Bytes that a process and its descendants had resident at their highest, summed; 0 where there is no /proc."""
    proc = Path("/proc") / str(pid)
    try:
        status = (proc / "status").read_text()
        children = [child for task in (proc / "task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:  # it ended, or this system has no /proc
        return 0
    own = sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    return own + sum(peak_memory(int(child)) for child in children)


def age() -> float:
    """Seconds since this process was started, its imports included; 0 where the system does not say."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[START_TIME]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return 0.0
