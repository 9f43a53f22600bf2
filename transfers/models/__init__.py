"""The record of the cell: what was asked for, how it was cut, how far each node is, and what moved."""

from transfers.models.cursor import StreamCursor
from transfers.models.event import JobEvent, JobEventKind
from transfers.models.file import JobFile
from transfers.models.job import Job, JobDocument
from transfers.models.progress import JobNode
from transfers.models.sample import RateSample
from transfers.models.shard import Shard
from transfers.models.standing import Standing, StandingEvent, StandingEventKind, StandingNode, StandingVersion
from transfers.models.states import (
    FINAL_STATES,
    MOVES,
    OPEN_STATES,
    UNFINISHED_NODES,
    JobNodeState,
    JobState,
    Policy,
    Topology,
)
from transfers.models.transfer import Transfer, TransferOutcome
from transfers.models.webhook import Webhook, WebhookDelivery, WebhookKind, WebhookState

__all__ = [
    "FINAL_STATES",
    "MOVES",
    "OPEN_STATES",
    "UNFINISHED_NODES",
    "Job",
    "JobDocument",
    "JobEvent",
    "JobEventKind",
    "JobFile",
    "JobNode",
    "JobNodeState",
    "JobState",
    "Policy",
    "RateSample",
    "Shard",
    "Standing",
    "StandingEvent",
    "StandingEventKind",
    "StandingNode",
    "StandingVersion",
    "StreamCursor",
    "Topology",
    "Transfer",
    "TransferOutcome",
    "Webhook",
    "WebhookDelivery",
    "WebhookKind",
    "WebhookState",
]
