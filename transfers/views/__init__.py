"""The pages: frames that the server fills with what the record knows, and streams of what moves."""

from transfers.views.fleet import fleet
from transfers.views.jobs import job, job_act, jobs
from transfers.views.new_job import complete, new_job, preview_job
from transfers.views.nodes import node, node_act, nodes
from transfers.views.standing import standing, standing_act, standings
from transfers.views.standing_form import change_standing, new_standing, preview_change, preview_standing
from transfers.views.streams import fleet_events, job_events, node_events, standing_events, standings_events

__all__ = [
    "change_standing",
    "complete",
    "fleet",
    "fleet_events",
    "job",
    "job_act",
    "job_events",
    "jobs",
    "new_job",
    "new_standing",
    "node",
    "node_act",
    "node_events",
    "nodes",
    "preview_change",
    "preview_job",
    "preview_standing",
    "standing",
    "standing_act",
    "standing_events",
    "standings",
    "standings_events",
]
