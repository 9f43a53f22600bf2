"""The variables of the site that need more than a type: each is checked when the settings are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from environs import Env, EnvError

from fdist_site.variables import ConfError, Reader

HOST = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:]+\]")
REQUESTS = re.compile(r"[1-9]\d{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)")
POSTGRESQL, SQLITE = "postgresql", "sqlite"
DATABASES = {"postgres": POSTGRESQL, "postgresql": POSTGRESQL, "pgsql": POSTGRESQL, "sqlite": SQLITE}
SHORTEST_SECRET = 16  # `manage.py check --deploy` asks for more


def folder(variable: str, default: Path) -> Path:
    """A folder that is there or can be made."""
    path = Path(Reader(None).text(variable) or default)
    if path.exists() and not path.is_dir():
        raise ConfError(variable, f"{path} is a file, and a folder is wanted")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfError(variable, f"{path} cannot be made: {error.strerror}") from error
    return path


def database(variable: str, default: Path) -> dict[str, Any]:
    """A PostgreSQL or a file of SQLite, as Django wants it. Messages do not show the address: it has a password."""
    text = Reader(None).text(variable)
    if not text:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(default)}
    form = "write it as postgres://user:password@host/name or sqlite:////folder/file.sqlite3"
    scheme, colon, _ = text.partition(":")
    if not colon:
        raise ConfError(variable, f"is no address of a database: {form}")
    if scheme not in DATABASES:
        raise ConfError(variable, f'"{scheme}://" is none of postgres://, sqlite:///')
    try:
        found: dict[str, Any] = dict(Env().dj_db_url(variable))
    except (EnvError, ValueError):
        raise ConfError(variable, f"is no address of a database: {form}") from None
    if DATABASES[scheme] == POSTGRESQL and not (found["NAME"] or found.get("OPTIONS", {}).get("service")):
        raise ConfError(variable, f"names no database: {form}")
    if DATABASES[scheme] == SQLITE and found["NAME"] != ":memory:" and not Path(found["NAME"]).parent.is_dir():
        raise ConfError(variable, f"the folder {Path(found['NAME']).parent} is not there")
    return found


def secret(variable: str) -> str:
    """A secret; empty when none is given. The message does not show it."""
    value = Reader(None).text(variable)
    if value and len(value) < SHORTEST_SECRET:
        raise ConfError(
            variable, f"has {len(value)} characters; give it at least 50, as `openssl rand -base64 48` does"
        )
    return value


def hosts(variable: str) -> list[str]:
    found = list(Reader(None).names(variable))
    if wrong := [each for each in found if not HOST.fullmatch(each)]:
        raise ConfError(variable, f'"{wrong[0]}" is no host name: write it without http:// and without a port')
    return found


def origins(variable: str) -> list[str]:
    found = list(Reader(None).names(variable))
    for each in found:
        parts = urlsplit(each)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path:
            raise ConfError(variable, f'"{each}" is no origin: write it as https://fdist.example.org')
    return found


def time_zone(variable: str, default: str) -> str:
    name = Reader(None).text(variable, default)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfError(variable, f'"{name}" is no time zone: write it as Europe/Berlin or UTC') from None
    return name


def request_rate(variable: str, default: str) -> str:
    text = Reader(None).text(variable, default)
    if not REQUESTS.fullmatch(text):
        raise ConfError(variable, f'"{text}" is no rate of requests: write it as 60/min or 5/s')
    return text
