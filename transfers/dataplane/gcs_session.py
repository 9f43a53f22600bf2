"""One way into Google Cloud Storage for everybody: the client for metadata, and a session for bytes, with one login."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google.auth
import requests
from google.auth import credentials as google_credentials
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from google.cloud import storage

_ENDPOINT = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
_POOL_SIZE = 64  # connections kept to the bucket; requests keeps 10 unless told

_reading = threading.local()


@dataclass(frozen=True)
class GcsAccess:
    """The bucket's address and the login. One session serves all threads of a process and keeps their connections."""

    endpoint: str
    session: requests.Session
    credentials: google_credentials.Credentials
    project: str | None = None

    def client(self) -> storage.Client:
        """A client for listings and metadata, with the same login."""
        from google.cloud import storage  # a quarter of a second that those who only read bytes do without

        options = {"api_endpoint": self.endpoint}
        return storage.Client(project=self.project or "none", credentials=self.credentials, client_options=options)


def open_session(project: str | None = None, endpoint: str | None = None) -> GcsAccess:
    """Access to the bucket service.

    endpoint: of an emulator, which needs no login; by default what STORAGE_EMULATOR_HOST says, else the real service
    with the login that the environment gives (Application Default Credentials).
    Raises google.auth.exceptions.DefaultCredentialsError when there is none.
    """
    emulator = endpoint or os.environ.get("STORAGE_EMULATOR_HOST")
    session: requests.Session
    if emulator:
        address = emulator if "://" in emulator else f"http://{emulator}"
        credentials: google_credentials.Credentials = google_credentials.AnonymousCredentials()  # type: ignore[no-untyped-call]
        session = requests.Session()
    else:
        from google.auth.transport.requests import AuthorizedSession

        address = _ENDPOINT
        credentials, found = google.auth.default(scopes=[_SCOPE])
        project = project or found
        session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    session.trust_env = False if emulator else session.trust_env  # An emulator is never behind a proxy.
    for scheme in ("http://", "https://"):
        session.mount(scheme, _InterruptibleAdapter(pool_maxsize=_POOL_SIZE))
    return GcsAccess(address.rstrip("/"), session, credentials, project)


class Interrupter:
    """Breaks off the requests of one thread from another: a `with` block around them, and `interrupt`.

    A read that waits for its answer or for more bytes then ends with an error at once, whatever its timeout.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._interrupted = False

    def __enter__(self) -> Interrupter:
        _reading.interrupter = self
        return self

    def __exit__(self, *_: object) -> None:
        _reading.interrupter = None
        with self._lock:
            self._socket = None

    def attach(self, connection: socket.socket | None) -> None:
        with self._lock:
            self._socket = connection
            if self._interrupted:
                self._shut()

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            try:
                # The plain socket's shutdown: that of an SSLSocket would take its state from under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:  # It has ended already.
                self._socket = None


class _Interruptible:
    """For a connection class: tells the thread's interrupter which socket its request uses."""

    sock: Any

    def request(self, *args: Any, **options: Any) -> None:
        interrupter: Interrupter | None = getattr(_reading, "interrupter", None)
        if interrupter is None:
            super().request(*args, **options)  # type: ignore[misc]
            return
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        interrupter.attach(self.sock)
        super().request(*args, **options)  # type: ignore[misc]


class _HttpConnection(_Interruptible, HTTPConnection):
    pass


class _HttpsConnection(_Interruptible, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _InterruptibleAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
