"""What signs for the coordinator: the plans of jobs, and what nodes need to check them."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from transfers.signing import Signer


def signer() -> Signer:
    return _signer(settings.FDIST_SIGNING_KEY)


@cache
def _signer(secret: str) -> Signer:
    return Signer(secret)
