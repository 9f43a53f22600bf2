"""Objects of random bytes in a bucket, for trials; written with the login of whoever calls, and removed again."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from fdist_site.cli.exits import FailedHere

BLOCK = 1024 * 1024
UPLOADS_AT_ONCE = 4
TIMEOUT = (5, 120)


class RandomBytes(io.RawIOBase):
    """`size` bytes that no link compresses: one random block, each time with another number at its start."""

    def __init__(self, size: int) -> None:
        self._block = os.urandom(BLOCK)
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), BLOCK, self._size - self._at)
        piece = self._at.to_bytes(8, "big") + self._block[8:]
        view[:length] = piece[:length]
        self._at += length
        return length


@contextmanager
def synthetic_objects(folder: str, size: int, count: int) -> Iterator[str]:
    """`count` objects below gs://bucket/prefix/ of `size` bytes together, for a while; gives the source.

    Raises FailedHere with what the bucket said.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    name, _, prefix = folder.removeprefix("gs://").partition("/")
    try:
        bucket = storage.Client(project=os.environ.get("FDIST_GCS_PROJECT") or None).bucket(name)
        blobs = [bucket.blob(f"{prefix}part-{number:04d}.bin") for number in range(count)]
        try:
            with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
                list(pool.map(_upload, blobs, _sizes(size, count)))
            yield folder
        finally:
            for blob in blobs:
                if blob.exists(timeout=TIMEOUT):
                    blob.delete(timeout=TIMEOUT)
    except (GoogleAPIError, GoogleAuthError) as error:
        raise FailedHere(f"the bucket {name} cannot be used for this: {error}") from error


def _sizes(size: int, count: int) -> list[int]:
    return [size * (number + 1) // count - size * number // count for number in range(count)]


def _upload(blob: Any, size: int) -> None:
    blob.upload_from_file(io.BufferedReader(RandomBytes(size), BLOCK), size=size, timeout=TIMEOUT)
