"""How a payload is cut into shards."""

from __future__ import annotations

from transfers.errors import PlanError

MIB = 1024 * 1024
DEFAULT_SHARD_SIZE = 64 * MIB
AUTO_MIN = 512 * 1024
AUTO_MAX = 1024 * MIB
MOST_WANTED = 512  # with fewer, the start and the end of a job, in which few shards can be passed on, are felt
LEAST_WANTED = 64  # a mesh has M - 1 + log2(N) shard-times to go: with 64 shards and 1,000 nodes 16% above the least
ASSIGNMENTS = 50_000  # some seconds of the scheduler's time: beyond LEAST_WANTED a job is not cut into more than that
MAX_SHARDS = 131_072  # 16 KiB of bitmap a node
MIN_SHARD_SIZE = 64 * 1024
MAX_SHARD_SIZE = 8 * 1024 * MIB


def auto_shard_size(size: int, nodes: int) -> int:
    """The shard size for a payload of `size` bytes on so many nodes when none was asked for; a power of two.

    64 MiB, smaller where that would give fewer than 512 shards (but 512 KiB at the least, since each shard costs a
    request), and larger where it would give more than a quarter of what the scheduler takes. Each shard is assigned
    once a node, so many nodes want fewer shards: 64 are enough for 1,000.
    """
    wanted = min(max(ASSIGNMENTS // max(nodes, 1), LEAST_WANTED), MOST_WANTED)
    shard_size = DEFAULT_SHARD_SIZE
    while shard_size > AUTO_MIN and size < wanted * shard_size:
        shard_size //= 2
    while shard_size < AUTO_MAX and size > shard_size * MAX_SHARDS // 4:
        shard_size *= 2
    return shard_size


def choose_shard_size(asked: int | None, size: int, nodes: int) -> int:
    """The shard size to use; raises PlanError("shard_size") when the one asked for gives too many shards."""
    shard_size = asked or auto_shard_size(size, nodes)
    count = -(-size // shard_size)
    if count > MAX_SHARDS:
        raise PlanError(
            "shard_size",
            f"{size:,} bytes in shards of {shard_size:,} are {count:,} shards, and a job has at most {MAX_SHARDS:,}: "
            f"ask for at least {-(-size // MAX_SHARDS):,}",
        )
    return shard_size
