"""What a load balancer asks. Open to all, and says no more than which part is missing."""

from __future__ import annotations

import redis
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from transfers.links import get_links


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """The database and Redis answer as well; 503 when one does not."""
    parts = {"database": _database(), "redis": _redis()}
    good = all(parts.values())
    shown = {name: "ok" if works else "unreachable" for name, works in parts.items()}
    return JsonResponse({"status": "ok" if good else "unavailable", **shown}, status=200 if good else 503)


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
