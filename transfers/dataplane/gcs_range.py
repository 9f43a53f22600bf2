"""One GET of a range of a pinned object: asked for, checked, and handed on as the bytes come."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from urllib.parse import quote

import requests
import urllib3
from google.auth import exceptions as auth_errors

from transfers.dataplane.gcs_session import GcsAccess
from transfers.dataplane.layout import OriginObject
from transfers.dataplane.ratelimit import Limiter
from transfers.dataplane.watchdog import Watchdog, Watched
from transfers.dataplane.writer import BUFFER_SIZE
from transfers.errors import Cancelled, SourceChanged, SourceRefused

_CONNECT_SECONDS = 5.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_GONE = frozenset({404, 410, 412, 416})
_TRY_AGAIN = frozenset({200, 206, 408, 429, *range(500, 600)})  # 200 and 206 when they are not what was asked for
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, auth_errors.TransportError, OSError)


class Broken(Exception):
    """A read ended before its time, and may be tried again. The text says how."""

    def __init__(self, what: str, retry_after: float = 0.0) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class RangeReader:
    """Reads ranges; its threads may use it together. stall_after, min_rate: as in `gcs.GcsSource`."""

    def __init__(self, access: GcsAccess, stall_after: float, min_rate: float) -> None:
        self._access = access
        self._stall_after = stall_after
        self._min_rate = min_rate
        self._watchdog = Watchdog()

    def read(
        self, origin: OriginObject, start: int, length: int, limiter: Limiter, cancelled: Callable[[], bool]
    ) -> Generator[bytes, None, None]:
        """The bytes of one GET, as they come. Raises Broken, SourceChanged, SourceRefused or Cancelled."""
        if cancelled():
            raise Cancelled(f"the read of {object_name(origin)} was stopped")
        with self._watchdog.watch(cancelled, self._stall_after, self._min_rate) as watched:
            try:
                with self._get(origin, start, length) as response:
                    _check(response, origin, start, length)
                    yield from _body(response, length, limiter, watched, cancelled)
            except _BROKEN as error:
                if watched.why == "cancelled":
                    raise Cancelled(f"the read of {object_name(origin)} was stopped") from error
                raise Broken(f"the read {watched.why}" if watched.why else _brief(error)) from error
            except auth_errors.GoogleAuthError as error:
                raise SourceRefused(f"there is no working login for {object_name(origin)}: {error}") from error

    def _get(self, origin: OriginObject, start: int, length: int) -> requests.Response:
        path = f"/download/storage/v1/b/{quote(origin.bucket, safe='')}/o/{quote(origin.name, safe='')}"
        return self._access.session.get(
            self._access.endpoint + path,
            params={"alt": "media", "generation": str(origin.generation)},
            # Asking for identity keeps a proxy, or the bucket, from sending other bytes than those that were summed.
            headers={"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"},
            stream=True,
            timeout=(_CONNECT_SECONDS, self._stall_after + 1),
            allow_redirects=False,
        )


def _check(response: requests.Response, origin: OriginObject, start: int, length: int) -> None:
    """Raises unless the answer is exactly the range that was asked for, of the object that was pinned."""
    status, headers = response.status_code, response.headers
    if status in _GONE:
        raise SourceChanged(
            f"{object_name(origin)} is no longer in the bucket as it was when the job was planned "
            f"(generation {origin.generation}, status {status})"
        )
    if status == 206:
        generation = headers.get("x-goog-generation", str(origin.generation))
        if generation != str(origin.generation):
            raise SourceChanged(
                f"{object_name(origin)} is now at generation {generation}; the job was planned with {origin.generation}"
            )
        span = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        right = span is not None and tuple(map(int, span.groups())) == (start, start + length - 1, origin.size)
        if right and headers.get("Content-Length", str(length)) == str(length):
            return
    if status not in _TRY_AGAIN:
        raise SourceRefused(f"the bucket refused {object_name(origin)} with status {status}: {_excerpt(response)}")
    shown = headers.get("Content-Range", "no range")
    after = headers.get("Retry-After", "")
    raise Broken(f"status {status}, {shown}, {_excerpt(response)}", float(after) if after.isdigit() else 0.0)


def _body(
    response: requests.Response, length: int, limiter: Limiter, watched: Watched, cancelled: Callable[[], bool]
) -> Iterator[bytes]:
    while length:
        step = min(length, limiter.quantum if limiter.rate_bits else BUFFER_SIZE)
        # What has come, up to a buffer's length: waiting for a full one would hold up who reads along.
        data = response.raw.read1(step)
        if cancelled():
            raise Cancelled("the read was stopped")
        if not data:
            raise Broken(f"the answer ended {length} bytes early")
        watched.moved(len(data))
        length -= len(data)
        with watched.pause():
            yield data
            limiter.take(len(data), cancelled)
    response.raw.read1(1)  # Nothing comes, and only now does the library give the connection back to its pool.


def object_name(origin: OriginObject) -> str:
    """As people write it."""
    return f"gs://{origin.bucket}/{origin.name}"


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _excerpt(response: requests.Response) -> str:
    """The start of an error's text, on one line."""
    if response.status_code < 300:
        return f"{response.headers.get('Content-Length', 'unknown many')} bytes"
    return " ".join(response.raw.read(400).decode("utf-8", "replace").split())[:200]
