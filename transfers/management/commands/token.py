"""Makes an API token."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from knox.models import AuthToken

from transfers.management.arguments import FdistCommand

DEFAULT_DAYS = 90


class Command(FdistCommand):
    help = """Make an API token for a user and print it, this once: only a digest of it is kept.

Send it as a header:   Authorization: Token <token>
Tokens act with the user's permissions. They are listed and deleted in the admin."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="name of an active user")
        parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help="how long it is valid; 0 for ever")

    def handle(self, *args: Any, **options: Any) -> None:
        users = get_user_model()
        user = users.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f'no active user is named "{options["user"]}"; make one with createsuperuser')
        if options["days"] < 0:
            raise CommandError("--days cannot be negative")
        expiry = timedelta(days=options["days"]) if options["days"] else None
        _, token = AuthToken.objects.create(user, expiry=expiry)
        self.stdout.write(token)
