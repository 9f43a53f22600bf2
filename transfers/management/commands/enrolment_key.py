"""Makes, lists and revokes the keys with which nodes register."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from nodes.models import EnrolmentKey
from nodes.signer import signer
from transfers.links import get_links
from transfers.management.arguments import FdistCommand
from transfers.signing import public_key_of


class Command(FdistCommand):
    help = """Make, list or revoke the keys with which nodes register (FDIST_ENROLMENT_KEY of the agents).

examples:
  enrolment_key make gpu-pool-a             prints the key, this once: only a digest of it is kept
  enrolment_key make ci --days 1
  enrolment_key make ops --key-file /run/secrets/fdist-key   takes a key that was made elsewhere
  enrolment_key list
  enrolment_key public                      prints FDIST_COORDINATOR_KEY, by which nodes know plans
  enrolment_key revoke gpu-pool-a           registered nodes stay, none registers with it any more"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["make", "list", "public", "revoke"], help="what to do")
        parser.add_argument("name", nargs="?", default="", help="who uses the key, such as an instance group")
        parser.add_argument("--days", type=int, default=0, help="how long nodes may register with it; 0 for ever")
        parser.add_argument("--key-file", help="a file with the key, instead of a new one")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            return self._list()
        if options["action"] == "public":
            self.stdout.write(signer().public_key)
            return None
        if not options["name"]:
            raise CommandError(f"name the key: enrolment_key {options['action']} NAME")
        if options["action"] == "make":
            self._make(options)
        else:
            self._revoke(options["name"])
        self._publish()
        return None

    def _make(self, options: dict[str, Any]) -> None:
        if EnrolmentKey.objects.filter(name=options["name"]).exists():
            raise CommandError(f'there is a key named "{options["name"]}" already')
        expires = timezone.now() + timedelta(days=options["days"]) if options["days"] > 0 else None
        if options["key_file"]:
            key = _read_key(options["key_file"])
            EnrolmentKey.adopt(options["name"], key, expires_at=expires)
            if public_key_of(key) != signer().public_key:
                self.stderr.write(f"nodes with this key also need FDIST_COORDINATOR_KEY={signer().public_key}")
            return
        _, key = EnrolmentKey.issue(options["name"], expires_at=expires)
        self.stdout.write(key)

    def _list(self) -> None:
        valid = set(EnrolmentKey.objects.valid().values_list("pk", flat=True))
        for key in EnrolmentKey.objects.all():
            state = "valid" if key.pk in valid else "revoked" if key.revoked_at else "expired"
            self.stdout.write(f"{key.shown}…  {state:8}  made {key.created_at:%Y-%m-%d}  {key.name}")

    def _revoke(self, name: str) -> None:
        key = EnrolmentKey.objects.filter(name=name).first()
        if key is None:
            raise CommandError(f'no key is named "{name}"')
        key.revoke()
        self.stderr.write(f"{name} is revoked")

    def _publish(self) -> None:
        """At once, so that a node can register without a wait; the planner does it each second anyway."""
        try:
            digests = list(EnrolmentKey.objects.valid().values_list("digest", flat=True))
            get_links().scheduler.set_enrolment_keys(digests)
        except redis.RedisError as error:
            self.stderr.write(f"Redis does not answer ({error}); the coordinator will publish the keys")


def _read_key(path: str) -> str:
    try:
        with open(path) as stream:  # noqa: PTH123  (also /dev/stdin)
            key = stream.read().strip()
    except OSError as error:
        raise CommandError(f"the key file cannot be read: {error}") from error
    if len(key) < 20:
        raise CommandError("that key is shorter than 20 characters; a short key can be guessed")
    return key
