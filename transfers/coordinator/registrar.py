"""Lets nodes in that ask by the identity of their machine; see nodes.identity."""

from __future__ import annotations

import logging
import time

from nodes.identity import CertificatesMissing, NotAdmitted, Verifier
from nodes.models import Node, NodeState
from transfers.links import Links

logger = logging.getLogger(__name__)

ROUND_SECONDS = 0.5
EXPEL_SECONDS = 30.0


class Registrar:
    """verifier: None where no machine's identity is taken."""

    name = "registrar"

    def __init__(self, links: Links, verifier: Verifier | None) -> None:
        self.links = links
        self._verifier = verifier
        self._looked = float("-inf")

    def step(self) -> float:
        scheduler = self.links.scheduler
        for question in scheduler.asking():
            try:
                if self._verifier is None:
                    raise NotAdmitted(
                        "this coordinator lets nobody in by a machine's identity: FDIST_IDENTITY_PROJECTS is not set"
                    )
                self._verifier.check(question.node, question.digest, question.proof)
            except NotAdmitted as error:
                logger.warning("refused node=%s reason=%s", question.node, error)
                scheduler.refuse(question.node, question.digest, str(error))
            except CertificatesMissing as error:  # the question stays
                logger.warning("waiting to admit node=%s reason=%s", question.node, error)
                return ROUND_SECONDS * 10
            else:
                logger.info("admitted node=%s", question.node)
                scheduler.admit(question.node, question.digest)
        self._expel_removed()
        return ROUND_SECONDS

    def _expel_removed(self) -> None:
        """A node that a person took out of the record is asked anew who it is, should it come back."""
        if time.monotonic() - self._looked < EXPEL_SECONDS:
            return
        self._looked = time.monotonic()
        removed = Node.objects.filter(cell=self.links.cell, state=NodeState.REMOVED).values_list("name", flat=True)
        for node in self.links.scheduler.admitted().intersection(removed):
            self.links.scheduler.expel(node)
