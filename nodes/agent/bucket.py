"""The bucket, opened when the first byte of it is wanted: a node that reads from its peers alone needs no login."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from transfers.dataplane.layout import Layout
from transfers.dataplane.ratelimit import Limiter
from transfers.dataplane.store import ShardWriter
from transfers.errors import SourceRefused

if TYPE_CHECKING:
    from transfers.dataplane.gcs import GcsSource


class LazyBucket:
    """A GcsSource that is made on first use, since a node may be without a login."""

    def __init__(self, project: str | None, endpoint: str | None) -> None:
        self._project = project
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._source: GcsSource | None = None

    @staticmethod
    def load() -> None:
        """Load the libraries, so that the first read need not: they take a second or two of a busy machine."""
        import transfers.dataplane.gcs  # noqa: F401

    def read_shard(
        self,
        layout: Layout,
        shard: int,
        writer: ShardWriter,
        *,
        bucket_limiter: Limiter,
        cancelled: Callable[[], bool],
        on_bytes: Callable[[int], None],
    ) -> int:
        """As GcsSource.read_shard."""
        return self._open().read_shard(
            layout, shard, writer, bucket_limiter=bucket_limiter, cancelled=cancelled, on_bytes=on_bytes
        )

    def _open(self) -> GcsSource:
        with self._lock:
            if self._source is None:
                from google.auth.exceptions import GoogleAuthError

                from transfers.dataplane.gcs import GcsSource, open_session

                try:
                    self._source = GcsSource(open_session(self._project, self._endpoint))
                except GoogleAuthError as error:
                    raise SourceRefused(f"this node has no login for the bucket: {error}") from error
            return self._source
