"""The record of the cell: what was asked for, how it was cut, how far each node is, and what moved."""

from transfers.models.cursor import StreamCursor
from transfers.models.file import JobFile
from transfers.models.job import FINAL_STATES, OPEN_STATES, Job, JobDocument, JobState, Topology
from transfers.models.progress import JobNode, JobNodeState
from transfers.models.shard import Shard
from transfers.models.transfer import Transfer, TransferOutcome

__all__ = [
    "FINAL_STATES",
    "OPEN_STATES",
    "Job",
    "JobDocument",
    "JobFile",
    "JobNode",
    "JobNodeState",
    "JobState",
    "Shard",
    "StreamCursor",
    "Topology",
    "Transfer",
    "TransferOutcome",
]
