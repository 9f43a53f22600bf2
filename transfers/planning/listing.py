"""What the bucket holds for a source, as it was when the job was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transfers.dataplane.layout import OriginObject
from transfers.errors import PlanError
from transfers.planning.manifest import Manifest
from transfers.planning.source import SourceUri
from transfers.words import count, few


@dataclass(frozen=True)
class SourceObject:
    """An object with all that planning looks at. crc32c: of the stored bytes, None where the bucket has none."""

    bucket: str
    name: str
    generation: int
    size: int
    crc32c: int | None
    content_encoding: str = ""

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.name}"

    def pinned(self) -> OriginObject:
        return OriginObject(self.bucket, self.name, self.generation, self.size, self.crc32c)


@dataclass(frozen=True)
class Listing:
    """objects: of a prefix all, of an object the one, of a manifest those that it lists (as far as they exist)."""

    uri: SourceUri
    objects: Sequence[SourceObject]
    manifest: Manifest | None = None


def check_objects(objects: Sequence[SourceObject]) -> None:
    """Raises PlanError("source") unless every object can be read in ranges and checked."""
    packed = [item.uri for item in objects if item.content_encoding.lower() == "gzip"]
    if packed:
        raise PlanError(
            "source",
            f"{count(len(packed), 'object')} stored with Content-Encoding: gzip ({few(packed)}): the bucket cannot "
            "give ranges of the unpacked bytes; upload the files unpacked, or as .gz files without that header",
        )
    unchecked = [item.uri for item in objects if item.crc32c is None]
    if unchecked:
        raise PlanError(
            "source",
            f"{count(len(unchecked), 'object')} without a crc32c ({few(unchecked)}), so that nothing could prove what "
            "arrives; write the object again, the bucket computes it then",
        )
