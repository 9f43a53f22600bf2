"""How we log in to Redis: by what its address says, or by the identity of the machine on Google Cloud.

Memorystore takes a machine's access token as the password. A token is good for an hour and is asked for whenever a
connection is opened, so nothing is kept and nothing has to be rotated.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

Login = Literal["url", "google"]
USER = "default"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


class GoogleLogin(redis.CredentialProvider):
    """The machine's access token, renewed when it is about to end."""

    def get_credentials(self) -> tuple[str, str]:
        """Raises redis.ConnectionError when there is no token now: whoever connects tries again, as for any other."""
        from google.auth.exceptions import GoogleAuthError  # a third of a second of imports that others do without
        from google.auth.transport.requests import Request

        try:
            credentials = _credentials()
            if not credentials.valid:
                credentials.refresh(Request())  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise redis.ConnectionError(f"this machine's identity gives no login for Redis: {error}") from error
        return USER, str(credentials.token)


@cache
def _credentials() -> Credentials:
    """One for the process: its token serves every connection."""
    import google.auth

    credentials, _ = google.auth.default(scopes=SCOPES)
    found: Credentials = credentials
    return found


def connection_options(login: Login) -> dict[str, Any]:
    """What a client of redis-py is to be made with."""
    return {"credential_provider": GoogleLogin()} if login == "google" else {}


def broker_address(url: str, login: Login) -> str:
    """The broker's address, with the way to log in: kombu takes it from there."""
    if login == "url":
        return url
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query), ("credential_provider", f"{__name__}.{GoogleLogin.__name__}")]
    return urlunsplit(parts._replace(query=urlencode(query)))
