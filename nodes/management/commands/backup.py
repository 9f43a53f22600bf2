"""Copies the record to a file while the site runs, and brings it back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import connection

from transfers.management.arguments import FdistCommand

PG_RESTORE = ("pg_restore", "--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction")
CREATE = (os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it has webhooks' secrets and tokens' digests in it


class Command(FdistCommand):
    help = """Copy the record (jobs, nodes, history, users, tokens) to a file, or bring it back from one.

  save      while everything runs; SQLite by its own online copy, PostgreSQL by pg_dump
  restore   with the coordinator and the web server stopped; what the record holds now is replaced. The schema is then
            brought up to this version

Neither the bucket nor the nodes' files are in it: nodes keep those, and tell what they have. Keep FDIST_SIGNING_KEY and
FDIST_SECRET_KEY beside it: without the former nodes take no plan, without the latter people log in again.

examples:
  backup save /var/backups/fdist-2026-11-28
  backup restore /var/backups/fdist-2026-11-28 --yes"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["save", "restore"], help="what to do")
        parser.add_argument("file", type=Path, help="where the copy is, or is to be")
        parser.add_argument("--yes", action="store_true", help="restore: replace what the record holds")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        sqlite = connection.vendor == "sqlite"
        if options["action"] == "save":
            if file.exists():
                raise CommandError(f"{file} is there already; give another name")
            fresh = file.with_name(f".{file.name}.{os.getpid()}")
            try:
                (self._save_sqlite if sqlite else self._save_postgresql)(fresh)
                fresh.replace(file)  # whole, or not at all
            except OSError as error:
                raise CommandError(f"{file} cannot be written: {error.strerror}") from error
            finally:
                fresh.unlink(missing_ok=True)
            self.stderr.write(f"saved {file.stat().st_size} bytes to {file}")
            return
        if not file.is_file():
            raise CommandError(f"{file} is no file")
        if not options["yes"]:
            raise CommandError(
                "what the record holds now would be lost: stop the coordinator and the site, then add --yes"
            )
        (self._restore_sqlite if sqlite else self._restore_postgresql)(file)
        call_command("migrate", interactive=False, verbosity=0)
        self.stderr.write(f"restored from {file}; start the coordinator and the site")

    def _save_sqlite(self, file: Path) -> None:
        connection.ensure_connection()
        os.close(os.open(file, *CREATE))
        with closing(sqlite3.connect(file)) as copy:
            connection.connection.backup(copy)

    def _restore_sqlite(self, file: Path) -> None:
        place = Path(connection.settings_dict["NAME"])
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as copy:
            try:
                (problem,) = copy.execute("PRAGMA integrity_check").fetchone()
            except sqlite3.DatabaseError as error:
                raise CommandError(f"{file} is no copy of a record: {error}") from error
        if problem != "ok":
            raise CommandError(f"{file} is damaged: {problem}")
        connection.close()
        fresh = place.with_name(f".{place.name}.{os.getpid()}")
        shutil.copy(file, fresh)
        for name in ("-wal", "-shm"):  # of the record that is replaced
            place.with_name(place.name + name).unlink(missing_ok=True)
        fresh.replace(place)

    def _save_postgresql(self, file: Path) -> None:
        with os.fdopen(os.open(file, *CREATE), "wb") as stream:
            self._run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges"], stdout=stream)

    def _restore_postgresql(self, file: Path) -> None:
        connection.close()
        with file.open("rb") as stream:
            self._run(
                [*PG_RESTORE, "--dbname", str(connection.settings_dict["NAME"])],
                stdin=stream,
            )

    def _run(self, argv: list[str], **streams: Any) -> None:
        """One of PostgreSQL's programs, logged in as we are; its password is not among its arguments."""
        settings = connection.settings_dict
        given = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
        login = {name: str(settings[key]) for name, key in given.items() if settings.get(key)}
        options = settings.get("OPTIONS", {})
        login |= {f"PG{name.upper()}": str(options[name]) for name in ("sslmode", "sslrootcert") if name in options}
        try:
            done = subprocess.run(argv, env=os.environ | login, stderr=subprocess.PIPE, text=True, **streams)
        except FileNotFoundError as error:
            raise CommandError(f"{argv[0]} is not on PATH: install PostgreSQL's client programs") from error
        if done.returncode:
            raise CommandError(f"{argv[0]} failed: {done.stderr.strip()[-500:]}")
