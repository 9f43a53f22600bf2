"""Requests that are sent again where that is safe, and answers that are errors turned into exceptions."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from transfers.client.errors import BadAddress, Throttled, Unavailable, Unreachable, problem_of

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 60.0  # a submission lists the bucket
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
PAGE = 500
AGAIN = (Unreachable, Unavailable, Throttled)


class Http:
    """patience: seconds for which a request that is safe to repeat is repeated when nobody answers.

    Safe are those that read, and those that carry an Idempotency-Key. Any request is repeated when it was never
    received or was turned away for its rate.
    """

    def __init__(self, url: str, token: str, patience: float, session: requests.Session | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise BadAddress(f'"{url}" is no address of a coordinator: write http://host:port or https://host')
        self.base = url.rstrip("/")
        self._patience = patience
        self._session = session or requests.Session()
        self._session.headers["Accept"] = "application/json"
        self._session.headers["User-Agent"] = "fdist-client"
        if token:
            self._session.headers["Authorization"] = f"Token {token}"

    def close(self) -> None:
        self._session.close()

    def get(self, path: str, **params: Any) -> Any:
        return self._send("GET", path, params=params, safe=True)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str = "", safe: bool = False) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return self._send("POST", path, json=dict(body or {}), headers=headers, safe=safe or bool(key))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("PATCH", path, json=dict(body), safe=True)

    def delete(self, path: str) -> None:
        self._send("DELETE", path, safe=False)

    def rows(self, path: str, **params: Any) -> Iterator[Mapping[str, Any]]:
        """The rows of a list, page by page as they are asked for."""
        page = self.get(path, **{"page_size": PAGE, **params})
        while True:
            yield from page["results"]
            if not page["next"]:
                return
            page = self._send("GET", page["next"], safe=True)

    def open_stream(self, path: str, silence: float, **params: Any) -> requests.Response:
        """An answer that goes on. silence: seconds without a byte after which it counts as broken.

        Raises as the others do, once: who follows a stream comes back by itself.
        """
        try:
            answer = self._session.get(
                self._address(path),
                params=params,
                headers={"Accept": "text/event-stream, application/json;q=0.5"},
                timeout=(CONNECT_TIMEOUT, silence),
                stream=True,
            )
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        self._check(answer)
        return answer

    def _send(self, method: str, path: str, *, safe: bool, **arguments: Any) -> Any:
        until = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            try:
                return self._once(method, path, **arguments)
            except AGAIN as error:
                repeat = safe or isinstance(error, Throttled) or getattr(error, "never_sent", False)
                wait = getattr(error, "retry_after", None) or pause * random.uniform(0.5, 1.0)  # noqa: S311
                if not repeat or time.monotonic() + wait > until:
                    raise
                time.sleep(wait)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _once(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._session.request(
                method, self._address(path), timeout=(CONNECT_TIMEOUT, ANSWER_TIMEOUT), **arguments
            )
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        self._check(answer)
        if not answer.content:
            return None
        body = _json(answer)
        if body is None:
            raise Unreachable(f"{self.base} answers, and not as a coordinator of fdist does: check the address")
        return body

    def _address(self, path: str) -> str:
        return path if "://" in path else f"{self.base}/api/v1/{path}"

    def _check(self, answer: requests.Response) -> None:
        if answer.status_code >= 400:
            raise problem_of(answer.status_code, _json(answer), answer.headers.get("Retry-After"))

    def _unreachable(self, error: requests.RequestException) -> Unreachable:
        causes = list(_causes(error))
        said = next((each.strerror for each in causes if isinstance(each, OSError) and each.strerror), "")
        why = "it did not answer in time" if isinstance(error, requests.Timeout) else said.lower() or str(error)
        never_sent = any(isinstance(each, NewConnectionError | ConnectTimeoutError) for each in causes)
        return Unreachable(f"the coordinator at {self.base} cannot be reached: {why}", never_sent=never_sent)


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.JSONDecodeError:
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what is inside of it: requests wraps urllib3's errors, and those wrap the system's."""
    while error is not None:
        yield error
        inside = [getattr(error, "reason", None), *error.args, error.__cause__]
        error = next((each for each in inside if isinstance(each, BaseException)), None)
