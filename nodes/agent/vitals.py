"""What the system says of a process."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(pid: int | None) -> int:
    """Memory that a process has in use; 0 for one that has ended, and where there is no /proc."""
    if pid is None:
        return 0
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
