"""Where a payload comes from, as a person writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from transfers.errors import PlanError

MANIFEST_SUFFIX = ".fdist.json"
MANIFEST_SCHEME = "manifest+"
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
MAX_OBJECT_NAME = 1024  # bytes of UTF-8, by the bucket's own rules
FORMS = "gs://bucket/object, gs://bucket/prefix/, or gs://bucket/name.fdist.json for a manifest"


@dataclass(frozen=True)
class SourceUri:
    """kind: "object", "prefix" (its name is empty or ends with "/") or "manifest"."""

    kind: Literal["object", "prefix", "manifest"]
    bucket: str
    name: str

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.name}"

    @property
    def folder(self) -> str:
        """The part of the name up to its last "/", which is left out; "" at the top of the bucket."""
        return self.name.rpartition("/")[0]


def parse_source(text: str) -> SourceUri:
    """The source that `text` names; raises PlanError("source").

    `manifest+gs://bucket/any-name` says of an object with another suffix that it is a manifest.
    """
    text = text.strip()
    rest = text.removeprefix(MANIFEST_SCHEME)
    if not rest.startswith("gs://"):
        raise PlanError("source", f'"{text}" is no source: write {FORMS}')
    bucket, slash, name = rest.removeprefix("gs://").partition("/")
    if not BUCKET_NAME.fullmatch(bucket):
        raise PlanError("source", f'"{bucket}" cannot be a bucket\'s name, in the source "{text}"')
    if not slash:
        raise PlanError("source", f'"{text}" names no object: write {text}/ for everything in the bucket')
    if len(name.encode(errors="replace")) > MAX_OBJECT_NAME or "\0" in name:
        raise PlanError("source", f"an object's name has at most {MAX_OBJECT_NAME} bytes and no NUL")
    if rest != text or name.endswith(MANIFEST_SUFFIX):
        if not name or name.endswith("/"):
            raise PlanError("source", f'"{text}" names a folder, and a manifest is an object')
        return SourceUri("manifest", bucket, name)
    if not name or name.endswith("/"):
        return SourceUri("prefix", bucket, name)
    return SourceUri("object", bucket, name)
