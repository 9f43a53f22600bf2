"""Lets nodes in by the identity of their machine: a token that Google signed for one instance and for one secret.

An instance gets such a token from its metadata server, for an audience of its choice. The audience is the digest of a
secret that the agent has made up and keeps to itself, so a token that somebody copies is of no use without the secret;
and the instance's name is the node's, so a node cannot come in as another.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfers.errors import FdistError

logger = logging.getLogger(__name__)

CERTS_URL = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS = ("https://accounts.google.com", "accounts.google.com")
LONGEST_TOKEN = 8192
CLOCK_SKEW = 30  # seconds that Google's clock and ours may differ
FETCH_SECONDS = 10
KEEP_SECONDS = 3600.0  # how long certificates are kept when the answer does not say
AGAIN_SECONDS = 30.0  # a token with an unknown key makes us look again, this often at most
_MAX_AGE = re.compile(r"max-age=(\d{1,7})")


class NotAdmitted(FdistError):
    """The token does not let this node in; the message says what is wrong with it."""


class CertificatesMissing(FdistError):
    """Google's certificates cannot be had now: ask again later."""


@dataclass(frozen=True)
class Policy:
    """Whose machines are let in. zones: what the names of their zones begin with, such as "europe-west4-"."""

    projects: tuple[str, ...]
    accounts: tuple[str, ...]
    zones: tuple[str, ...] = ()
    certs_url: str = CERTS_URL


def audience(cell: str, digest: str) -> str:
    """For what a token has to be asked."""
    return f"fdist:{cell}:{digest}"


class Verifier:
    """Checks tokens against a policy; safe for threads."""

    def __init__(self, policy: Policy, cell: str) -> None:
        self.policy = policy
        self._cell = cell
        self._certificates = _Certificates(policy.certs_url)

    def check(self, node: str, digest: str, token: str) -> None:
        """Raises NotAdmitted unless the token is of the machine that this node is, or CertificatesMissing."""
        claims = self._claims(token, audience(self._cell, digest))
        machine = claims.get("google", {}).get("compute_engine", {})
        if claims.get("iss") not in ISSUERS:
            raise NotAdmitted("its token is not from accounts.google.com")
        if not machine:
            raise NotAdmitted("its token does not say of which machine it is; it has to be asked for with format=full")
        if machine.get("project_id") not in self.policy.projects:
            raise NotAdmitted(
                f"its machine is of project {machine.get('project_id')}, and FDIST_IDENTITY_PROJECTS allows "
                f"{', '.join(self.policy.projects)}"
            )
        if claims.get("email") not in self.policy.accounts or claims.get("email_verified") is not True:
            raise NotAdmitted(
                f"its machine runs as {claims.get('email')}, and FDIST_IDENTITY_ACCOUNTS allows "
                f"{', '.join(self.policy.accounts)}"
            )
        zone = str(machine.get("zone", ""))
        if self.policy.zones and not zone.startswith(self.policy.zones):
            raise NotAdmitted(
                f"its machine is in zone {zone}, and FDIST_IDENTITY_ZONES allows {', '.join(self.policy.zones)}"
            )
        if machine.get("instance_name") != node:
            raise NotAdmitted(
                f"its machine is called {machine.get('instance_name')}; FDIST_NODE_NAME has to be the instance's name"
            )

    def _claims(self, token: str, wanted: str) -> Mapping[str, Any]:
        from google.auth import exceptions  # a third of a second of imports
        from google.auth import jwt as untyped

        jwt: Any = untyped
        if not token or len(token) > LONGEST_TOKEN:
            raise NotAdmitted("it sent no token, or something that is not one")
        try:
            key = jwt.decode_header(token).get("kid")
        except (ValueError, exceptions.GoogleAuthError) as error:
            raise NotAdmitted("it sent something that is no token") from error
        try:
            return dict(
                jwt.decode(
                    token, certs=self._certificates.with_key(key), audience=wanted, clock_skew_in_seconds=CLOCK_SKEW
                )
            )
        except (ValueError, exceptions.GoogleAuthError) as error:
            raise NotAdmitted(f"its token does not hold: {_without(token, str(error))}") from error


class _Certificates:
    """Google's, kept for as long as their answer says."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._kept: Mapping[str, str] = {}
        self._until = 0.0
        self._fetched = float("-inf")

    def with_key(self, key: object) -> Mapping[str, str]:
        with self._lock:
            now = time.monotonic()
            if now >= self._until or (key not in self._kept and now - self._fetched > AGAIN_SECONDS):
                self._fetch(now)
            return self._kept

    def _fetch(self, now: float) -> None:
        import requests  # agents, which check nothing, start without it

        try:
            answer = requests.get(self._url, timeout=FETCH_SECONDS)
            answer.raise_for_status()
            found = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise CertificatesMissing(f"no certificates from {self._url}: {error}") from error
        if not isinstance(found, dict) or not found:
            raise CertificatesMissing(f"{self._url} gave no certificates")
        age = _MAX_AGE.search(answer.headers.get("Cache-Control", ""))
        self._kept, self._fetched = found, now
        self._until = now + (float(age[1]) if age else KEEP_SECONDS)


def _without(token: str, message: str) -> str:
    """A message that may quote the token, without it: it goes to Redis and to logs."""
    for part in (token, *token.split(".")):
        if part:
            message = message.replace(part, "…")
    return message[:200]
