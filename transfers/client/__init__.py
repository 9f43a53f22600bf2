"""A client of the REST API, for programs. It needs `requests` and nothing of the site: no Django, no Redis.

    from transfers.client import Fdist

    with Fdist("https://fdist.example.org", token) as fdist:
        job = fdist.submit("gs://weights/llama-70b/", nodes={"labels": {"zone": "a"}})
        fdist.wait(job)

Sizes are bytes, rates bytes a second, times seconds. What goes wrong is a `ClientError`; docs/client.md has them all.
"""

from typing import TYPE_CHECKING, Any

from transfers.client.errors import (
    BadAddress,
    ClientError,
    Conflict,
    Fault,
    InvalidRequest,
    JobFailed,
    NotAllowed,
    NotFound,
    NotLoggedIn,
    Problem,
    ServerFault,
    Throttled,
    Unavailable,
    Unreachable,
    WaitedTooLong,
)
from transfers.client.rows import Event, Job, JobNode, Kept, Node
from transfers.client.standing_rows import Standing, StandingEvent, StandingNode, StandingVersion
from transfers.progress import JobProgress, NodeProgress

if TYPE_CHECKING:
    from transfers.client.fdist import Fdist

__all__ = [
    "BadAddress",
    "ClientError",
    "Conflict",
    "Event",
    "Fault",
    "Fdist",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobNode",
    "JobProgress",
    "Kept",
    "Node",
    "NodeProgress",
    "NotAllowed",
    "NotFound",
    "NotLoggedIn",
    "Problem",
    "ServerFault",
    "Standing",
    "StandingEvent",
    "StandingNode",
    "StandingVersion",
    "Throttled",
    "Unavailable",
    "Unreachable",
    "WaitedTooLong",
]


def __getattr__(name: str) -> Any:
    """Fdist brings `requests` along, which the completion of a shell does without."""
    if name == "Fdist":
        from transfers.client.fdist import Fdist

        return Fdist
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
