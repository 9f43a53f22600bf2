"""What a bucket path that is being typed could go on as."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors

from transfers.errors import PlanError, SourceBusy
from transfers.models import Job
from transfers.planning.source import BUCKET_NAME, MANIFEST_SUFFIX

if TYPE_CHECKING:
    from google.cloud.storage import Client

SCHEME = "gs://"
MOST = 40
LOOKED_AT = 2000  # objects and folders; a page of the listing has 1,000
TIMEOUT = (3, 5)  # somebody is typing
RECENT = 500  # jobs whose buckets are offered
FAILURES = (google_errors.GoogleAPIError, auth_errors.GoogleAuthError, requests.RequestException)


@dataclass(frozen=True)
class Offer:
    """kind: "bucket", "folder", "object" or "manifest". size: bytes, of an object."""

    path: str
    kind: str
    size: int | None = None


def complete(client: Client, typed: str, cell: str) -> list[dict[str, Any]]:
    """At most MOST paths that begin with what was typed, folders first. Raises PlanError, SourceBusy."""
    text = typed.strip()
    if not text.startswith(SCHEME):
        text = SCHEME if SCHEME.startswith(text) else SCHEME + text
    bucket, slash, prefix = text.removeprefix(SCHEME).partition("/")
    found = _below(client, bucket, prefix) if slash else _buckets(client, bucket, cell)
    return [asdict(offer) for offer in islice(found, MOST)]


def _buckets(client: Client, begun: str, cell: str) -> list[Offer]:
    """Those that our login may list, and those that jobs came from: often it may read a bucket and not list them."""
    sources = Job.objects.filter(cell=cell).order_by("-created_at").values_list("source", flat=True)[:RECENT]
    names = {source.removeprefix(SCHEME).partition("/")[0] for source in sources if source.startswith(SCHEME)}
    try:
        names |= {
            bucket.name for bucket in client.list_buckets(prefix=begun, max_results=MOST, timeout=TIMEOUT, retry=None)
        }
    except (*FAILURES, OSError):
        if not names:
            raise SourceBusy("the buckets cannot be listed; type the path") from None
    return [Offer(f"{SCHEME}{name}/", "bucket") for name in sorted(names) if name.startswith(begun)]


def _below(client: Client, bucket: str, prefix: str) -> list[Offer]:
    if not BUCKET_NAME.fullmatch(bucket):
        raise PlanError("source", f'"{bucket}" is no name of a bucket')
    try:
        listing = client.list_blobs(
            bucket,
            prefix=prefix,
            delimiter="/",
            max_results=LOOKED_AT,
            fields="items(name,size),prefixes,nextPageToken",
            timeout=TIMEOUT,
            retry=None,
        )
        objects = [
            Offer(f"{SCHEME}{bucket}/{blob.name}", _kind(blob.name), int(blob.size or 0))
            for blob in listing
            if not blob.name.endswith("/")
        ]
    except google_errors.NotFound:
        raise PlanError("source", f"the bucket {bucket} does not exist, or not for us") from None
    except google_errors.ClientError as error:
        raise PlanError("source", f"the bucket refuses to show {bucket}: {error.message}") from None
    except FAILURES as error:
        raise SourceBusy(f"the bucket cannot be asked: {error}") from error
    folders = [Offer(f"{SCHEME}{bucket}/{name}", "folder") for name in sorted(listing.prefixes)]
    return folders + objects


def _kind(name: str) -> str:
    return "manifest" if name.endswith(MANIFEST_SUFFIX) else "object"
