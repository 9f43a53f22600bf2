"""Whether this process can do its work: the database and Redis answer."""

from __future__ import annotations

import redis
from django.db import Error as DatabaseError
from django.db import connection

from transfers.links import get_links


def parts() -> dict[str, bool]:
    """Whether each thing that the site needs answers."""
    return {"database": _database(), "redis": _redis()}


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis() -> bool:
    try:
        return bool(get_links().redis.ping())
    except redis.RedisError:
        return False


def report() -> tuple[dict[str, str], bool]:
    """In words, and whether all is well."""
    found = parts()
    good = all(found.values())
    shown = {name: "ok" if works else "unreachable" for name, works in found.items()}
    return {"status": "ok" if good else "unavailable", **shown}, good
