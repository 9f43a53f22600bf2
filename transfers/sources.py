"""What the bucket holds for a source: metadata only, with the bucket's client passed in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors
from google.cloud.storage.retry import DEFAULT_RETRY

from transfers.errors import PlanError, SourceBusy
from transfers.planning.listing import Listing, SourceObject
from transfers.planning.manifest import Manifest, decode_crc32c, parse_manifest
from transfers.planning.plan import MAX_FILES
from transfers.planning.source import SourceUri, parse_source
from transfers.words import size_text

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

FIELDS = "items(bucket,name,generation,size,crc32c,contentEncoding),nextPageToken"
TIMEOUT = (5, 30)
RETRY = DEFAULT_RETRY.with_timeout(20)  # seconds; somebody waits for the answer
MAX_MANIFEST = 64 * 1024 * 1024


def list_source(client: Client, source: str | SourceUri) -> Listing:
    """The objects of a source, each with its generation, size and crc32c of this moment.

    Raises PlanError("source") where the bucket says no, SourceBusy where it cannot be reached or keeps failing.
    Cost: one request for 1,000 objects.
    """
    uri = parse_source(source) if isinstance(source, str) else source
    try:
        if uri.kind == "prefix":
            return Listing(uri, list(_list(client, uri.bucket, uri.name)))
        if uri.kind == "manifest":
            manifest = parse_manifest(_read_manifest(client, uri), uri)
            return Listing(uri, _list_shards(client, manifest), manifest)
        return Listing(uri, [_one(client, uri)])
    except google_errors.NotFound as error:
        raise PlanError("source", f"the bucket {uri.bucket} does not exist, or not for us") from error
    except (google_errors.Forbidden, google_errors.Unauthorized) as error:
        raise PlanError("source", f"the bucket refuses to show {uri}: {error.message}") from error
    except auth_errors.GoogleAuthError as error:
        raise PlanError("source", f"there are no working credentials for the bucket: {error}") from error
    except google_errors.ClientError as error:
        raise PlanError("source", f"the bucket does not accept {uri}: {error.message}") from error
    except (google_errors.GoogleAPICallError, google_errors.RetryError, requests.RequestException) as error:
        raise SourceBusy(f"the bucket could not be asked for {uri}: {error}; try again later") from error


def _one(client: Client, uri: SourceUri) -> SourceObject:
    blob = client.bucket(uri.bucket).get_blob(uri.name, timeout=TIMEOUT, retry=RETRY)
    if blob is not None:
        return _describe(blob)
    below = client.list_blobs(uri.bucket, prefix=f"{uri.name}/", max_results=1, timeout=TIMEOUT, retry=RETRY)
    if any(True for _ in below):
        raise PlanError("source", f"{uri} is no object but a folder: write {uri}/ for all that is in it")
    raise PlanError("source", f"{uri} does not exist")


def _list(client: Client, bucket: str, prefix: str, **options: Any) -> Iterator[SourceObject]:
    """Stops one object after the most that a job may have: planning refuses these, and a wrong prefix ends soon."""
    blobs = client.list_blobs(
        bucket, prefix=prefix, fields=FIELDS, max_results=MAX_FILES + 1, timeout=TIMEOUT, retry=RETRY, **options
    )
    for blob in blobs:
        yield _describe(blob)


def _read_manifest(client: Client, uri: SourceUri) -> bytes:
    blob = client.bucket(uri.bucket).get_blob(uri.name, timeout=TIMEOUT, retry=RETRY)
    if blob is None:
        raise PlanError("source", f"the manifest {uri} does not exist")
    if (blob.size or 0) > MAX_MANIFEST:
        raise PlanError(
            "source", f"the manifest {uri} has {size_text(blob.size)}, at most {size_text(MAX_MANIFEST)} can be read"
        )
    data: bytes = blob.download_as_bytes(timeout=TIMEOUT, retry=RETRY)
    return data


def _list_shards(client: Client, manifest: Manifest) -> list[SourceObject]:
    """The objects that the manifest lists, as far as they exist: one listing a folder, from first to last name."""
    wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for shard in manifest.shards():
        folder, slash, _ = shard.name.rpartition("/")
        wanted[shard.bucket, folder + slash].add(shard.name)
    found: list[SourceObject] = []
    for (bucket, prefix), names in wanted.items():
        there = _list(client, bucket, prefix, delimiter="/", start_offset=min(names), end_offset=max(names) + "\1")
        found += [item for item in there if item.name in names]
    return found


def _describe(blob: Blob) -> SourceObject:
    return SourceObject(
        bucket=blob.bucket.name,
        name=blob.name,
        generation=int(blob.generation or 0),
        size=int(blob.size or 0),
        crc32c=decode_crc32c(blob.crc32c) if blob.crc32c else None,
        content_encoding=blob.content_encoding or "",
    )
