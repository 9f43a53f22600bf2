"""Who did what over REST, in the history that the admin shows."""

from __future__ import annotations

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.db.models import Model
from rest_framework.request import Request


def note(request: Request, thing: Model, what: str, *, made: bool = False) -> None:
    """One line in the history of `thing`. what: in the past tense, such as "Cancelled"."""
    if request.user.pk is not None:
        LogEntry.objects.log_actions(
            request.user.pk, [thing], ADDITION if made else CHANGE, f"{what} by the API.", single_object=True
        )
