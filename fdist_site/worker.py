"""Runs one node's Celery worker, which carries its agent: `python -m fdist_site.worker NODE`.

The same worker that `celery worker` runs, without the command line that reads its options: importing all of Celery's
commands costs a third of an agent's start. The options are those of every agent; the rest is in the environment.
"""

from __future__ import annotations

import signal
import sys

from fdist_site.celery import agent_app
from nodes.agent.bootstep import stop_running_agent
from nodes.agent.command_line import TASK_THREADS
from transfers.nudge import queue_name


def main(node: str) -> int:
    """Work until SIGTERM; gives the exit status. After SIGUSR2 nothing new begins, and what is here is served on."""
    signal.signal(signal.SIGUSR2, lambda *_: stop_running_agent())
    worker = agent_app.Worker(
        hostname=node,
        queues=[queue_name(node)],
        pool_cls="threads",
        concurrency=TASK_THREADS,
        # Workers do not watch each other: with N of them that would be N * N messages.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
