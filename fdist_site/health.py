"""What a load balancer asks. Open to all, and says no more than which part is missing."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from transfers import readiness


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """The database and Redis answer as well; 503 when one does not."""
    report, good = readiness.report()
    return JsonResponse(report, status=200 if good else 503)
