"""Prepares the record of an installation, in one process; what is there already stays as it is."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from nodes.models import EnrolmentKey, digest_of
from transfers.management.arguments import FdistCommand

SECRETS = {"password", "enrolment_key"}


class Command(FdistCommand):
    help = """Prepare the record: tables, static files, a first user, a key with which nodes register.

Secrets come by standard input, as one JSON object: "password" of the user, and "enrolment_key" if there is one
already; without it a key is made and printed, this once. Run again, it changes nothing but what a new version brings.

example:
  echo '{"password": "..."}' | manage.py set_up --user admin --key workers > enrolment-key"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", default="admin", help="name of the first user, who may do everything")
        parser.add_argument("--key", default="workers", help="name of the key with which nodes register")

    def handle(self, *args: Any, **options: Any) -> None:
        given = _read(sys.stdin.read())
        call_command("migrate", interactive=False, verbosity=0)
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        self._make_user(options["user"], given.get("password", ""))
        self._make_key(options["key"], given.get("enrolment_key", ""))

    def _make_user(self, name: str, password: str) -> None:
        users = get_user_model().objects
        if users.filter(username=name).exists():
            return
        if not password:
            raise CommandError("password: is needed for a user who is made")
        users.create_superuser(name, None, password)

    def _make_key(self, name: str, key: str) -> None:
        if key:
            if not EnrolmentKey.objects.filter(digest=digest_of(key)).exists():
                EnrolmentKey.adopt(_free_name(name), key)
            return
        _, made = EnrolmentKey.issue(_free_name(name))
        self.stdout.write(made, ending="")


def _free_name(name: str) -> str:
    """A name that no key has: "workers", "workers-2", ..."""
    taken = set(EnrolmentKey.objects.values_list("name", flat=True))
    return next(
        each for number in range(1, len(taken) + 2) if (each := f"{name}-{number}".removesuffix("-1")) not in taken
    )


def _read(text: str) -> dict[str, str]:
    try:
        given = json.loads(text)
    except ValueError:
        raise CommandError("standard input: is no JSON") from None
    if (
        not isinstance(given, dict)
        or not set(given) <= SECRETS
        or not all(isinstance(each, str) for each in given.values())
    ):
        raise CommandError(f"standard input: wants an object with texts named {' and '.join(sorted(SECRETS))}")
    return given
