"""Payloads for tests: random bytes, their layout, and a store that has some of them."""

from __future__ import annotations

import random
from pathlib import Path

from transfers.dataplane.digest import crc32c
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.dataplane.store import JobStore

JOB = "0123456789abcdef0123456789abcdef"


class Payload:
    """Files of random bytes, seeded. `run` is them all, laid end to end."""

    def __init__(self, sizes: dict[str, int], shard_size: int, *, crcs: bool = True, seed: int = 1) -> None:
        source = random.Random(seed)
        self.data = {name: source.randbytes(size) for name, size in sizes.items()}
        self.run = b"".join(self.data.values())
        sums = {name: crc32c(data) if crcs else None for name, data in self.data.items()}
        self.layout = Layout(
            objects=tuple(OriginObject("weights", f"m/{n}", 1, len(d), sums[n]) for n, d in self.data.items()),
            files=tuple(PayloadFile(n, len(d), sums[n]) for n, d in self.data.items()),
            shard_size=shard_size,
        )

    def shard(self, index: int) -> bytes:
        offset, length = self.layout.shard_range(index)
        return self.run[offset : offset + length]

    def digest(self, index: int) -> int:
        return crc32c(self.shard(index))

    def store(self, data_dir: Path, destination: str = "models/m", job: str = JOB) -> JobStore:
        store = JobStore(data_dir, job, self.layout, destination)
        store.prepare()
        return store

    def fill(self, store: JobStore, *shards: int) -> None:
        """Write shards (all of them unless told) and mark them verified."""
        for index in shards or range(self.layout.shard_count):
            writer = store.writer(index)
            writer.write(self.shard(index))
            store.mark_verified(index, writer.finish())

    def put(self, folder: Path) -> None:
        """The files as somebody else would write them."""
        for name, data in self.data.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    def check_placed(self, folder: Path) -> None:
        for name, data in self.data.items():
            assert (folder / name).read_bytes() == data


def mixed_payload(**options: bool | int) -> Payload:
    """A few big and many small files, one of them empty, in shards that cross their borders."""
    sizes = {"big-0.bin": 300_000, "big-1.bin": 123_457, "conf/empty.txt": 0}
    sizes |= {f"conf/small-{i:02}.json": 100 + 37 * i for i in range(30)}
    return Payload(sizes, 64_000, **options)  # type: ignore[arg-type]
