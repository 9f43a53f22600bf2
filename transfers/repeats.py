"""Requests that are sent again, since their answer was lost: the sender's key makes one job of all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from transfers.errors import FdistError
from transfers.models import Job

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class Repeated(FdistError):
    """A job of this user's was made with the same key."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id.hex} was made with this key")
        self.job = job


class KeyReused(FdistError):
    """The key was used for another request: make a new key for each job."""


@dataclass(frozen=True)
class Stamp:
    """key: the sender's, one for each job that it wants. digest: of what was asked, SHA-256 in hex."""

    key: str
    digest: str

    @classmethod
    def of(cls, key: str, request: Mapping[str, Any]) -> Stamp:
        text = json.dumps(request, sort_keys=True, separators=(",", ":"))
        return cls(key, hashlib.sha256(text.encode()).hexdigest())

    def check(self, job: Job) -> Job:
        """The job, if it was asked for by the same request; raises KeyReused."""
        if job.request_digest != self.digest:
            raise KeyReused(f'the key "{self.key}" was used for another request, which made job {job.id.hex}')
        return job


def find_repeated(stamp: Stamp, user: User | AnonymousUser, cell: str) -> Job | None:
    """The job that an earlier sending of this request has made. Raises KeyReused."""
    if not user.is_authenticated:
        return None
    job = Job.objects.filter(cell=cell, created_by=user, request_key=stamp.key).first()
    return job and stamp.check(job)


def save_stamped(job: Job) -> None:
    """Writes a new job; raises Repeated where another process wrote one with the same key at the same time."""
    try:
        with transaction.atomic():
            job.save(force_insert=True)
    except IntegrityError:
        same = Job.objects.filter(cell=job.cell, created_by=job.created_by, request_key=job.request_key)
        other = same.first() if job.request_key else None
        if other is None:
            raise
        raise Repeated(other) from None
