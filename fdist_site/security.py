"""Response headers that keep a page to what it was served with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The admin's theme evaluates expressions in attributes and styles elements in place; its pages alone may do so.
ADMIN = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# The API documentation styles elements in place.
DOCS = STRICT.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
RELAXED = (("/admin/", ADMIN), ("/api/v1/docs/", DOCS))


def policy_for(path: str) -> str:
    """The content security policy of a page."""
    for prefix, policy in RELAXED:
        if path.startswith(prefix):
            return policy
    return STRICT


@sync_and_async_middleware
def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Adds Content-Security-Policy to every answer that has none."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            response: HttpResponseBase = await get_response(request)
            response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
            return response

        return middleware

    def sync_middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        assert isinstance(response, HttpResponseBase)  # noqa: S101  (narrows the type; the branch above took coroutines)
        response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
        return response

    return sync_middleware
