"""Kills process groups when the process that started it is gone, however it went.

Run as a script by `processes.ProcessGroup`, which writes "+<pgid>" and "-<pgid>" lines to its stdin. End of input means
that the starter is dead, by SIGKILL too; what is still listed then is killed. One small process does this for all
children on any Unix, where Linux's PR_SET_PDEATHSIG would follow the *thread* that forked and miss grandchildren.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        elif line.startswith("-"):
            groups.discard(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
