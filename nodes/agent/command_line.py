"""How an agent's worker is started: the program, its arguments, and what its environment may not have."""

from __future__ import annotations

import sys
from collections.abc import Mapping

PROGRAM = "fdist_site.worker"
TASK_THREADS = 8  # one drains, the others turn further nudges away
NOT_FOR_AGENTS = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "FDIST_SECRET_KEY", "FDIST_SIGNING_KEY")


def worker_argv(node: str) -> list[str]:
    """The command that runs a node's worker; it must run in the project's root directory."""
    return [sys.executable, "-m", PROGRAM, node]


def worker_environment(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: `environment` without what belongs to the coordinator, with `settings`."""
    kept = {name: value for name, value in environment.items() if name not in NOT_FOR_AGENTS}
    return kept | dict(settings)
