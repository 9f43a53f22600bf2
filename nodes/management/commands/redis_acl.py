"""Writes or applies the users of Redis: one for agents, one for the coordinator."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from nodes.redis_acl import AGENT, COORDINATOR, LATER, agent_rules, coordinator_rules
from transfers.management.arguments import FdistCommand

SHORTEST_PASSWORD = 20


class Command(FdistCommand):
    help = """Write or apply the users of Redis: fdist-agents for the nodes, fdist-coordinator for the rest of fdist.

Agents get the commands and the keys that their work needs, and nothing else: see docs/security.md. Passwords come from
files, since a command line can be read by others on the machine; the server is given their SHA-256 alone.

  show      the two lines for the server's aclfile, which needs no login
  apply     the same by ACL SETUSER, with the login of REDIS_URL or of --admin-url-file; ACL SAVE follows where the
            server has an aclfile

Log in with rediss://fdist-agents:PASSWORD@HOST:PORT/0 in REDIS_URL of agents, rediss://fdist-coordinator:... in that
of the coordinator. Then switch the user "default" off, or give it a password that only operators have.

examples:
  redis_acl show --agents-password-file a.txt --coordinator-password-file c.txt >> /etc/redis/users.acl
  redis_acl apply --agents-password-file new.txt --keep-passwords     both passwords are good: hand out the new one
  redis_acl apply --agents-password-file new.txt                      the old one ends"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["show", "apply"], help="what to do")
        parser.add_argument("--agents-password-file", metavar="FILE", help="the agents' password")
        parser.add_argument("--coordinator-password-file", metavar="FILE", help="the coordinator's password")
        parser.add_argument(
            "--admin-url-file", metavar="FILE", help="a file with the address and login to apply it with"
        )
        parser.add_argument(
            "--keep-passwords", action="store_true", help="apply: passwords that were good before stay good"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = {
            AGENT: (options["agents_password_file"], agent_rules(settings.FDIST_CELL)),
            COORDINATOR: (options["coordinator_password_file"], coordinator_rules(settings.FDIST_CELL)),
        }
        users = {name: (_password(path), rules) for name, (path, rules) in given.items() if path}
        if not users:
            raise CommandError("name a file with a password: --agents-password-file, --coordinator-password-file")
        if options["action"] == "show":
            for name, (digest, rules) in users.items():
                self.stdout.write(" ".join(["user", name, "on", f"#{digest}", *rules]))
            return
        address = _text(options["admin_url_file"]) if options["admin_url_file"] else settings.REDIS_URL
        keep = [] if options["keep_passwords"] else ["resetpass"]
        try:
            client = redis.Redis.from_url(address)
            for name, (digest, rules) in users.items():
                client.execute_command(  # type: ignore[no-untyped-call]
                    "ACL SETUSER", name, *keep, "resetkeys", "clearselectors", "on", f"#{digest}", *rules
                )
                for command in LATER:
                    with suppress(redis.ResponseError):  # this server does not have it, and clients go on without
                        client.execute_command("ACL SETUSER", name, f"+{command}")  # type: ignore[no-untyped-call]
                self.stderr.write(f"{name}: {len(rules)} rules")
            self._save(client)
        except redis.RedisError as error:
            raise CommandError(f"Redis refused it: {error}") from error

    def _save(self, client: redis.Redis) -> None:
        try:
            client.execute_command("ACL SAVE")  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:  # it was started without an aclfile
            self.stderr.write(f"not kept over a restart of Redis: {error}")


def _password(path: str) -> str:
    """SHA-256 of the password in a file, as Redis keeps it."""
    password = _text(path)
    if len(password) < SHORTEST_PASSWORD:
        raise CommandError(f"{path}: has {len(password)} characters; give a password at least {SHORTEST_PASSWORD}")
    return hashlib.sha256(password.encode()).hexdigest()


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from error
