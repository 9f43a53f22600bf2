"""Each request has an id: in every line that is logged on its behalf, and in the answer."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from transfers.logs import about, value_text

logger = logging.getLogger("fdist.requests")

HEADER = "X-Request-ID"
GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")  # a proxy's or a caller's own; anything else is replaced
UNTOLD = re.compile(r"/(healthz|readyz|metrics|static/.*)")  # asked again and again, by programs


def id_of(request: HttpRequest) -> str:
    given = request.headers.get(HEADER, "")
    return given if GIVEN.fullmatch(given) else uuid.uuid4().hex


@sync_and_async_middleware
def request_ids(
    get_response: Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Takes the id that the request brings or makes one, and logs a line when the request has been answered."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            began, name = time.monotonic(), id_of(request)
            with about(request=name):
                response: HttpResponseBase = await get_response(request)
                _answered(request, response, name, began)
            return response

        return middleware

    def sync_middleware(request: HttpRequest) -> HttpResponseBase:
        began, name = time.monotonic(), id_of(request)
        with about(request=name):
            response = get_response(request)
            assert isinstance(response, HttpResponseBase)  # noqa: S101  (narrows the type)
            _answered(request, response, name, began)
        return response

    return sync_middleware


def _answered(request: HttpRequest, response: HttpResponseBase, name: str, began: float) -> None:
    response.headers[HEADER] = name
    level = logging.DEBUG if UNTOLD.fullmatch(request.path) else logging.INFO
    if not logger.isEnabledFor(level):
        return
    milliseconds = (time.monotonic() - began) * 1000
    path = value_text(request.path)
    logger.log(
        level, "answered method=%s path=%s status=%d ms=%.1f", request.method, path, response.status_code, milliseconds
    )
