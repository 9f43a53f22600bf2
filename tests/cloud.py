"""As much of Google Cloud as a machine's own processes talk to: metadata, Secret Manager, a bucket with the package.

One real HTTP server; processes are told its address. It asks for the machine's token as the real services do.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from tests.served import Served

PROJECT_ID = "example-project"
TOKEN = "ya29.of-this-machine"


class Cloud(Served):
    """Use as a context manager. metadata: by path below computeMetadata/v1. objects: by "bucket/name"."""

    server: ThreadingHTTPServer

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {"project/project-id": PROJECT_ID}
        self.secrets: dict[str, list[bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.changed = threading.Condition()
        self.tokens = 0  # how many were asked for
        self.identities: dict[str, Callable[[str], str]] = {}  # of an account: gives a token for an audience
        self.certificates: dict[str, str] = {}  # those that tokens are signed with, by the name of their key
        self.denies = False  # what a machine asks for, as before its roles are known
        self.waiting = 0  # those who asked to be answered when a value changes
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(*cloud.get(self.path, self.headers))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(*cloud.post(self.path, self.headers, body))

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Metadata-Flavor", "Google")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Nothing: a test's output is its own."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def environment(self) -> dict[str, str]:
        """What the scripts are told."""
        place = f"127.0.0.1:{self.server.server_port}"
        return {
            "GCE_METADATA_HOST": place,
            "FDIST_SECRETS_ENDPOINT": f"http://{place}/secretmanager",
            "FDIST_STORAGE_ENDPOINT": f"http://{place}/storage",
        }

    def set(self, path: str, value: str) -> None:
        """Change a metadata value; whoever waits for a change is answered."""
        with self.changed:
            self.metadata[path] = value
            self.changed.notify_all()

    def secret(self, name: str) -> str:
        return self.secrets[name][-1].decode()

    def get(self, path: str, headers: Message) -> tuple[int, bytes]:
        place, _, query = path.partition("?")
        if place == "/":  # asked to find out whether there is a metadata server
            return 200, b""
        if place.startswith("/computeMetadata/v1/"):
            return self._metadata(place.removeprefix("/computeMetadata/v1/"), query, headers)
        if place == "/certs":
            return 200, json.dumps(self.certificates).encode()
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, b""
        if self.denies:
            return 403, b""
        if place.startswith("/storage/"):
            body = self.objects.get(place.removeprefix("/storage/"))
            return (404, b"") if body is None else (200, body)
        versions = self.secrets.get(self._secret_name(place, "/versions/latest:access"))
        if not versions:
            return 404, b""
        return 200, json.dumps({"payload": {"data": base64.b64encode(versions[-1]).decode()}}).encode()

    def post(self, path: str, headers: Message, body: bytes) -> tuple[int, bytes]:
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, b""
        value = base64.b64decode(json.loads(body)["payload"]["data"])
        self.secrets.setdefault(self._secret_name(path, ":addVersion"), []).append(value)
        return 200, b"{}"

    def _metadata(self, path: str, query: str, headers: Message) -> tuple[int, bytes]:
        if headers.get("Metadata-Flavor") != "Google":
            return 403, b""
        if path.startswith("instance/service-accounts/") and path.endswith("/token"):
            self.tokens += 1
            answer = json.dumps({"access_token": TOKEN, "expires_in": 3600}).encode()
            return (403, b"") if self.denies else (200, answer)
        if path.startswith("instance/service-accounts/") and path.endswith("/identity"):
            asked = dict(parse_qsl(query))
            sign = self.identities.get(path.split("/")[2])
            right = sign is not None and asked.get("format") == "full" and not self.denies
            return (200, sign(asked["audience"]).encode()) if right and sign else (404, b"")
        with self.changed:
            if "wait_for_change=true" in query:
                self.waiting += 1
                self.changed.wait(timeout=60)
            value = self.metadata.get(path)
        return (404, b"") if value is None else (200, value.encode())

    def _secret_name(self, path: str, action: str) -> str:
        start = f"/secretmanager/v1/projects/{PROJECT_ID}/secrets/"
        assert path.startswith(start) and path.endswith(action), path
        return path.removeprefix(start).removesuffix(action)
