"""How an agent's worker is started: the program, its arguments, and what its environment may not have."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from transfers.nudge import queue_name

APPLICATION = "fdist_site.celery:agent_app"
TASK_THREADS = 8  # one drains, the others turn further nudges away
NOT_FOR_AGENTS = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "FDIST_SECRET_KEY")


def worker_argv(node: str, log_level: str = "INFO") -> list[str]:
    """The command that runs a node's worker; it must run in the project's root directory.

    Workers do not watch each other (gossip, mingle, heartbeats): with N of them that would be N * N messages.
    """
    return [
        sys.executable,
        "-m",
        "celery",
        "--app",
        APPLICATION,
        "--quiet",
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        str(TASK_THREADS),
        "--queues",
        queue_name(node),
        "--hostname",
        node,
        "--loglevel",
        log_level,
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]


def worker_environment(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: `environment` without what belongs to the coordinator, with `settings`."""
    kept = {name: value for name, value in environment.items() if name not in NOT_FOR_AGENTS}
    return kept | dict(settings)
