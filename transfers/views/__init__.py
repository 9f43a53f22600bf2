"""The pages: frames that the server fills with what the record knows, and streams of what moves."""

from transfers.views.fleet import fleet
from transfers.views.jobs import job, job_act, jobs
from transfers.views.new_job import complete, new_job, preview_job
from transfers.views.nodes import node, node_act, nodes
from transfers.views.standing import standing, standing_act, standings
from transfers.views.streams import fleet_events, job_events, node_events

__all__ = [
    "complete",
    "fleet",
    "fleet_events",
    "job",
    "job_act",
    "job_events",
    "jobs",
    "new_job",
    "node",
    "node_act",
    "node_events",
    "nodes",
    "preview_job",
    "standing",
    "standing_act",
    "standings",
]
