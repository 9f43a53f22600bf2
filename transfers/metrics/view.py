"""/metrics of the site."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from transfers.exposition import is_allowed
from transfers.metrics.cell import registry

make_registry = cache(registry)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For whoever has FDIST_METRICS_TOKEN, and for people who may see nodes."""
    if not _may_read(request):
        answer = HttpResponse("Authorization: Bearer and FDIST_METRICS_TOKEN\n", status=401, content_type="text/plain")
        answer["WWW-Authenticate"] = 'Bearer realm="fdist metrics"'
        return answer
    found: CollectorRegistry = make_registry()
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(found), content_type=kind)


def _may_read(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "")
    return is_allowed(given, settings.FDIST_METRICS_TOKEN) or request.user.has_perm("nodes.view_node")
