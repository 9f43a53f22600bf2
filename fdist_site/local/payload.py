"""A payload that looks like a model's repository: a few big weight files, many small ones, an empty one.

Bytes come from a seed, piece by piece, so a payload of any size is made, uploaded and checked in the memory of a piece.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import LocalError

PIECE = 1024 * 1024
LARGEST_OBJECT = 200 * 10**6  # the emulator needs about five times an object's size while it arrives
WANTED_BIG_FILES = 4
SMALL_SHARE = 0.03  # of the payload, in small files
LEAST_SIZE = 64 * 1024
# Names and relative sizes of what lies beside the weights.
SMALL_FILES = {
    "README.md": 9,
    "LICENSE": 11,
    "config.json": 1,
    "generation_config.json": 1,
    "special_tokens_map.json": 1,
    "tokenizer_config.json": 5,
    "tokenizer.json": 300,
    "merges.txt": 90,
    "vocab.json": 120,
    "chat_template.jinja": 2,
    "code/__init__.py": 0,
    "code/modeling.py": 40,
    "code/configuration.py": 4,
    **{f"adapters/task-{number:02d}/adapter_config.json": 1 for number in range(12)},
    **{f"adapters/task-{number:02d}/adapter.bin": 30 + 3 * number for number in range(12)},
}


@dataclass(frozen=True)
class ModelFile:
    """One file: its bytes are `header` and then what the seed gives."""

    name: str
    size: int
    seed: str
    header: bytes = b""

    def pieces(self) -> Iterator[bytes]:
        if self.header:
            yield self.header
        left = self.size - len(self.header)
        chance = random.Random(self.seed)  # noqa: S311  (reproducible content, no secret)
        while left > 0:
            length = min(PIECE, left)
            yield chance.randbytes(length)
            left -= length


@dataclass
class Payload:
    """Files of `size` bytes in all. `digests` (sha256 in hex by name) are known once the files were uploaded."""

    files: tuple[ModelFile, ...]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def upload(self, gcs: GcsServer, bucket: str, prefix: str) -> str:
        """Put every file in the bucket, and note its sha256 on the way; gives the gs:// address of the prefix."""
        gcs.make_bucket(bucket)

        def put(file: ModelFile) -> None:
            digest = hashlib.sha256()

            def noted() -> Iterator[bytes]:
                for piece in file.pieces():
                    digest.update(piece)
                    yield piece

            gcs.put_stream(bucket, f"{prefix}/{file.name}", file.size, noted())
            self.digests[file.name] = digest.hexdigest()

        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(put, self.files))
        return f"gs://{bucket}/{prefix}/"

    def problems(self, directory: Path) -> list[str]:
        """What is wrong with the copy in a directory, a sentence each; reads every byte. Empty when all is right."""
        found = []
        for file in self.files:
            path = directory / file.name
            if not path.is_file():
                found.append(f"{path} is missing")
                continue
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != self.digests[file.name]:
                found.append(f"{path} has sha256 {digest}, the source has {self.digests[file.name]}")
        expected = {file.name for file in self.files}
        present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
        found += [f"{directory / name} does not belong there" for name in sorted(present - expected)]
        return found


def model_payload(size: int, seed: str = "fdist") -> Payload:
    """A model of exactly `size` bytes, the same for the same seed; raises LocalError if that is too small."""
    if size < LEAST_SIZE:
        raise LocalError(f"a payload needs at least {LEAST_SIZE:,} bytes, not {size:,}")
    unit = size * SMALL_SHARE / sum(SMALL_FILES.values())
    small = [
        ModelFile(name, max(int(weight * unit), 1 if weight else 0), f"{seed}/{name}")
        for name, weight in SMALL_FILES.items()
    ]
    left = size - sum(file.size for file in small)
    count = max(WANTED_BIG_FILES, -(-left // (LARGEST_OBJECT * 9 // 10)))
    big, offset = [], 0
    for number in range(count):
        # Uneven on purpose: real checkpoints never end on a shard's border.
        end = left if number == count - 1 else left * (number + 1) // count - (number * 7919) % 4096
        name = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        big.append(ModelFile(name, end - offset, f"{seed}/{name}", _safetensors_header(number, end - offset)))
        offset = end
    return Payload(tuple(sorted((*big, *small), key=lambda file: file.name)))


def _safetensors_header(number: int, file_size: int) -> bytes:
    """A valid header for one tensor that fills the file: 8 bytes of length, then JSON padded with spaces."""
    room = 256  # more than the JSON below can need
    shape = file_size - 8 - room
    tensor = {f"model.layers.{number}.weight": {"dtype": "U8", "shape": [shape], "data_offsets": [0, shape]}}
    return room.to_bytes(8, "little") + json.dumps(tensor).encode().ljust(room)
