"""How much memory of its own a local process takes, with all that it started."""

from __future__ import annotations

from pathlib import Path


def own_memory(pid: int) -> int:
    """Bytes of anonymous memory of a process and its descendants, now; 0 where there is no /proc.

    Pages of mapped files are not counted: the system takes them back whenever it likes.
    """
    proc = Path("/proc") / str(pid)
    try:
        status = (proc / "status").read_text()
        children = [child for task in (proc / "task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:  # it ended, or this system has no /proc
        return 0
    own = sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))
    return own + sum(own_memory(int(child)) for child in children)
