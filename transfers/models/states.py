"""The states of jobs and of their nodes, and which a job may go through."""

from __future__ import annotations

from django.db import models


class Topology(models.TextChoices):
    MESH = "mesh"
    PIPELINE = "pipeline"


class Policy(models.TextChoices):
    """Which shard a node of a mesh gets next."""

    RAREST_FIRST = "rarest-first"
    PEERS_FIRST = "peers-first"  # in order, from peers where they have it
    RANDOM = "random"
    SEQUENTIAL = "sequential"


class JobState(models.TextChoices):
    PLANNED = "planned"  # recorded, and not yet given to the scheduler
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATES = (JobState.PLANNED, JobState.RUNNING, JobState.PAUSED)
FINAL_STATES = (JobState.COMPLETE, JobState.FAILED, JobState.CANCELLED)

MOVES: dict[str, frozenset[str]] = {
    JobState.PLANNED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.FAILED, JobState.CANCELLED}),
    # A node may report its last shard after the pause: what is complete is complete.
    JobState.PAUSED: frozenset({JobState.RUNNING, JobState.COMPLETE, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.PAUSED, JobState.COMPLETE, JobState.FAILED, JobState.CANCELLED}),
    JobState.COMPLETE: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class JobNodeState(models.TextChoices):
    ENROLLED = "enrolled"  # it is to get the payload, and has not begun
    MOVING = "moving"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"  # the job ended before it was done
    WITHDRAWN = "withdrawn"  # taken off the job


UNFINISHED_NODES = (JobNodeState.ENROLLED, JobNodeState.MOVING)
