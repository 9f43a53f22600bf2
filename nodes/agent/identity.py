"""How an agent asks to be let in by the identity of its machine; nodes.identity is the other side."""

from __future__ import annotations

import hashlib
import os
import secrets
import time

from nodes.identity import audience
from transfers.errors import NotEnrolled
from transfers.scheduler import Scheduler

HOST = "metadata.google.internal"
PATH = "/computeMetadata/v1/instance/service-accounts/default/identity"
TIMEOUT = 5.0
ASK_AGAIN = 10.0  # seconds after which a question that has no answer is put again: Redis may have lost it
SECRET_BYTES = 32


class NotYetAdmitted(NotEnrolled):
    """The coordinator has been asked, and has not answered yet."""


class MachineIdentity:
    """Of this start of the agent. `secret` stays within the process; the coordinator learns its digest."""

    def __init__(self, cell: str, node: str) -> None:
        self.secret = secrets.token_urlsafe(SECRET_BYTES)
        self._node = node
        self._audience = audience(cell, hashlib.sha256(self.secret.encode()).hexdigest())
        self._asked = float("-inf")

    def ask(self, scheduler: Scheduler) -> bool:
        """Ask to be let in, unless that was done just now; gives whether it was asked. Raises NotEnrolled."""
        if time.monotonic() - self._asked < ASK_AGAIN:
            return False
        scheduler.ask(self._node, self.secret, self._token())
        self._asked = time.monotonic()
        return True

    def _token(self) -> str:
        import requests  # nobody else needs it at an agent's start

        host = os.environ.get("GCE_METADATA_HOST", HOST)
        try:
            answer = requests.get(
                f"http://{host}{PATH}",
                params={"audience": self._audience, "format": "full"},
                headers={"Metadata-Flavor": "Google"},
                timeout=TIMEOUT,
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            raise NotEnrolled(
                f"node {self._node} cannot say who it is: its metadata server at {host} gives no identity token "
                f"({error}). FDIST_ENROLMENT=google needs a Compute Engine instance with a service account"
            ) from error
        return answer.text.strip()
