"""What a Celery message can ask of an agent."""

from __future__ import annotations

from celery import shared_task

from nodes.agent.bootstep import current_agent
from transfers.nudge import DRAIN_TASK


@shared_task(name=DRAIN_TASK, ignore_result=True)
def drain(job: str) -> str:
    """Look for work for this node and do it until there is none; a second drain at the same time ends at once."""
    return current_agent().drain(job)
