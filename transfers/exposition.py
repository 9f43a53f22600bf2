"""/metrics for Prometheus on a port of its own, for whoever has the token. Knows neither Django nor the figures."""

from __future__ import annotations

import hmac
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, make_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/metrics"
GIVEN = "HTTP_AUTHORIZATION"  # where WSGI has the header
PATIENCE = 10  # seconds that a connection may say nothing


def new_registry() -> CollectorRegistry:
    """A registry with what every process tells: its memory, its processor time, its open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def is_allowed(authorization: str, token: str) -> bool:
    """Whether the header is "Bearer <token>". An empty token allows nobody."""
    scheme, _, given = authorization.partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


class MetricsServer:
    """Serves a registry; `port` is the one that it listens on. Raises OSError when it cannot."""

    def __init__(self, host: str, port: int, token: str, registry: CollectorRegistry) -> None:
        kind = _ServerV6 if ":" in host else _Server
        self._server = make_server(host, port, guarded(make_wsgi_app(registry), token), kind, _Quiet)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def guarded(app: Callable[..., Any], token: str) -> WSGIApplication:
    """The application, for GET of /metrics by whoever has the token."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start_response, "404 Not Found", f"there is only {PATH} here\n")
        if not is_allowed(environ.get(GIVEN, ""), token):
            return _refuse(start_response, "401 Unauthorized", "Authorization: Bearer and FDIST_METRICS_TOKEN\n")
        found: Iterable[bytes] = app(environ, start_response)
        return found

    return answer


def _refuse(start_response: StartResponse, status: str, why: str) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if status.startswith("401"):
        headers.append(("WWW-Authenticate", 'Bearer realm="fdist metrics"'))
    start_response(status, headers)
    return [why.encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without WSGIServer's look-up of the host's name, which may wait for a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is no news."""
