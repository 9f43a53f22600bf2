"""What can go wrong for a client: each class says what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfers.errors import FdistError
from transfers.words import duration_text

if TYPE_CHECKING:
    from transfers.client.rows import Job


class ClientError(FdistError):
    """The base of what this client raises."""


class Unreachable(ClientError):
    """The coordinator's web server does not answer: try again later, or check the address.

    never_sent: whether it is sure that the request did not arrive.
    """

    def __init__(self, message: str, *, never_sent: bool = False) -> None:
        super().__init__(message)
        self.never_sent = never_sent


class BadAddress(ClientError):
    """What was given as the coordinator's address is none."""


class WaitedTooLong(ClientError):
    """What was waited for did not come in the time that was given."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} after {duration_text(seconds)}")


class JobFailed(ClientError):
    """The job ended, and not by being complete."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is {job.state}" + (f": {job.error}" if job.error else ""))
        self.job = job


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. field: of the request, "" when it is about no single one."""

    field: str
    detail: str


class Problem(ClientError):
    """The API said no. status: of HTTP. faults: what it named."""

    def __init__(
        self, status: int, detail: str, faults: Sequence[Fault] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)
        self.retry_after = retry_after


class InvalidRequest(Problem):
    """Change the field that is named."""


class NotLoggedIn(Problem):
    """The token is missing, expired or revoked: get a new one."""


class NotAllowed(Problem):
    """The user lacks a permission, which is named."""


class NotFound(Problem):
    """There is no such job or node."""


class Conflict(Problem):
    """Its state does not allow this."""


class Throttled(Problem):
    """Too many requests: try again after `retry_after` seconds."""


class Unavailable(Problem):
    """Something behind the API cannot be reached: try again later."""


class ServerFault(Problem):
    """The site has a fault, which is in its log."""


BY_STATUS: Mapping[int, type[Problem]] = {
    400: InvalidRequest,
    401: NotLoggedIn,
    403: NotAllowed,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    415: InvalidRequest,
    422: InvalidRequest,
    429: Throttled,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_of(status: int, body: Any, retry_after: str | None) -> Problem:
    """The error for an answer of 400 and more. body: its JSON, None where it was none (a proxy's page)."""
    kind = BY_STATUS.get(status, ServerFault if status >= 500 else Problem)
    told = body if isinstance(body, dict) else {}
    faults = [
        Fault(str(each.get("field") or ""), str(each.get("detail", "")))
        for each in told.get("errors", ())
        if isinstance(each, dict)
    ]
    detail = str(told.get("detail") or f"the answer was HTTP {status}, with nothing that says why")
    return kind(status, detail, faults, _seconds(retry_after))


def _seconds(text: str | None) -> float | None:
    """Of a Retry-After header; its other form, a date, is not used by our API."""
    return float(text) if text and text.strip().isdigit() else None
