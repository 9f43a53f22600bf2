"""Exit codes, for scripts; docs/cli.md has them as a table."""

from __future__ import annotations

from fdist_site.cli.config import BadConfig
from transfers.client import errors
from transfers.errors import FdistError

OK = 0
FAILED = 1  # the job failed or was cancelled; a plan does not fit; a test of the fleet did not hold
USAGE = 2  # the command line is wrong
INVALID = 3  # the request cannot work: a field is named
NOT_ALLOWED = 4  # no valid token, or a permission is missing
NOT_FOUND = 5
CONFLICT = 6  # the state of the job or node does not allow this
UNAVAILABLE = 7  # the coordinator cannot be reached, or something behind it; try again later
TIMEOUT = 8  # what was waited for did not come in time
INTERRUPTED = 130  # Ctrl-C


class NotHere(FdistError):
    """The installation is not one on which this may be done."""


class FailedHere(FdistError):
    """What was asked for did not come about, and will not by itself."""


CODES: tuple[tuple[type[Exception], int], ...] = (
    (BadConfig, USAGE),
    (errors.BadAddress, USAGE),
    (errors.JobFailed, FAILED),
    (FailedHere, FAILED),
    (errors.WaitedTooLong, TIMEOUT),
    (errors.InvalidRequest, INVALID),
    (errors.NotLoggedIn, NOT_ALLOWED),
    (errors.NotAllowed, NOT_ALLOWED),
    (errors.NotFound, NOT_FOUND),
    (errors.Conflict, CONFLICT),
    (NotHere, CONFLICT),
)


def code_of(error: Exception) -> int:
    """For what a client or a command raised on purpose."""
    return next((code for kind, code in CODES if isinstance(error, kind)), UNAVAILABLE)
