"""Who did what, in the history that the admin shows."""

from __future__ import annotations

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model


def note(user: User | AnonymousUser, thing: Model, what: str, *, made: bool = False, where: str = "") -> None:
    """One line in the history of `thing`. what: in the past tense, such as "Cancelled"."""
    if user.pk is not None:
        message = f"{what} {where}".strip()
        LogEntry.objects.log_actions(user.pk, [thing], ADDITION if made else CHANGE, f"{message}.", single_object=True)
