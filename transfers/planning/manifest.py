"""A manifest: a JSON object in the bucket that lists files whose shards are objects of their own ("pre-cut").

    {
      "fdist_manifest": 1,
      "files": [
        {
          "name": "weights/model.safetensors",       path below the destination
          "size": 134217728,                         optional; must be the sum of its shards
          "crc32c": "yZRlqg==",                      optional; of the whole file, base64 as the bucket gives it
          "shards": [                                in order; laid end to end they are the file
            {
              "object": "shards/model-00000",        beside the manifest, or "gs://bucket/name" for any place
              "size": 67108864,                      optional, with the two below: what the object must be,
              "crc32c": "AAAAAA==",                  checked when the job is planned
              "generation": 1732406400000000
            }
          ]
        }
      ]
    }

A file without shards is an empty file. Each object is one shard of the job, whatever its size, so `shard_size` cannot
be given with a manifest. An object that several files or places use is listed each time.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from transfers.errors import PlanError
from transfers.planning.source import SourceUri, parse_source

VERSION = 1
TOP_KEYS = {"fdist_manifest", "files"}
FILE_KEYS = {"name", "size", "crc32c", "shards"}
SHARD_KEYS = {"object", "size", "crc32c", "generation"}


@dataclass(frozen=True)
class ManifestShard:
    """An object that is one shard. The optional values are what the manifest says it must be."""

    bucket: str
    name: str
    size: int | None = None
    crc32c: int | None = None
    generation: int | None = None


@dataclass(frozen=True)
class ManifestFile:
    name: str
    shards: tuple[ManifestShard, ...]
    size: int | None = None
    crc32c: int | None = None


@dataclass(frozen=True)
class Manifest:
    files: tuple[ManifestFile, ...]

    def shards(self) -> Iterator[ManifestShard]:
        for file in self.files:
            yield from file.shards


def parse_manifest(text: str | bytes, uri: SourceUri) -> Manifest:
    """The manifest in `text`, an object at `uri`; raises PlanError("source") that says where it is wrong."""
    try:
        data = json.loads(text)
    except ValueError as error:
        _refuse(uri, f"it is not JSON ({error})")
    data = _object(data, "the manifest", TOP_KEYS, uri)
    if data.get("fdist_manifest") != VERSION:
        _refuse(uri, f'"fdist_manifest" is {data.get("fdist_manifest")!r} and must be {VERSION}')
    files = data.get("files")
    if not isinstance(files, list) or not files:
        _refuse(uri, '"files" must be a list with at least one file')
    return Manifest(tuple(_file(item, f"files[{index}]", uri) for index, item in enumerate(files)))


def _file(item: Any, where: str, uri: SourceUri) -> ManifestFile:
    item = _object(item, where, FILE_KEYS, uri)
    name, shards = item.get("name"), item.get("shards")
    if not isinstance(name, str) or not name:
        _refuse(uri, f'{where} has no "name"')
    if not isinstance(shards, list):
        _refuse(uri, f'{where} ("{name}") has no list of "shards"')
    return ManifestFile(
        name=name,
        shards=tuple(_shard(shard, f"{where}.shards[{index}]", uri) for index, shard in enumerate(shards)),
        size=_number(item, "size", where, uri),
        crc32c=_crc32c(item, where, uri),
    )


def _shard(item: Any, where: str, uri: SourceUri) -> ManifestShard:
    item = _object(item, where, SHARD_KEYS, uri)
    name = item.get("object")
    if not isinstance(name, str) or not name:
        _refuse(uri, f'{where} has no "object"')
    if name.startswith("gs://"):
        target = parse_source(name)
        bucket, name = target.bucket, target.name
    else:
        bucket, name = uri.bucket, f"{uri.folder}/{name}" if uri.folder else name
    if name.endswith("/"):
        _refuse(uri, f'{where} names the folder "{name}" and not an object')
    return ManifestShard(
        bucket=bucket,
        name=name,
        size=_number(item, "size", where, uri),
        crc32c=_crc32c(item, where, uri),
        generation=_number(item, "generation", where, uri),
    )


def _object(item: Any, where: str, known: set[str], uri: SourceUri) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        _refuse(uri, f"{where} must be a JSON object")
    if unknown := sorted(set(item) - known):
        _refuse(uri, f'{where} has the unknown key "{unknown[0]}"; known are {", ".join(sorted(known))}')
    return item


def _number(item: Mapping[str, Any], key: str, where: str, uri: SourceUri) -> int | None:
    """A whole number; the bucket's own JSON writes 64-bit numbers as strings, so these are taken as well."""
    value = item.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    _refuse(uri, f'{where}: "{key}" is {value!r} and must be a whole number')


def _crc32c(item: Mapping[str, Any], where: str, uri: SourceUri) -> int | None:
    value = item.get("crc32c")
    if value is None:
        return None
    try:
        return decode_crc32c(value)
    except ValueError:
        _refuse(uri, f'{where}: "crc32c" is {value!r} and must be base64 of 4 bytes, as the bucket gives it')


def decode_crc32c(text: Any) -> int:
    """The unsigned value of a CRC-32C in base64 (big-endian), as the bucket writes it; raises ValueError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (TypeError, binascii.Error) as error:
        raise ValueError(f"{text!r} is not base64") from error
    if len(raw) != 4:
        raise ValueError(f"{text!r} is not 4 bytes")
    return int.from_bytes(raw, "big")


def _refuse(uri: SourceUri, reason: str) -> NoReturn:
    raise PlanError("source", f"the manifest {uri} cannot be used: {reason}")
