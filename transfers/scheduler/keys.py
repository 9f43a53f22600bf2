"""Every Redis key of a cell, with its type. The scripts build them from the prefix; Python reads some of them.

Prefix `{fdist:<cell>}:`, whose hash tag keeps a cell in one slot. <i> is a node's index, <job> a job's id, <s> a shard.

| key | type | what |
| --- | --- | --- |
| nodes, names | hash | node name -> index, and back |
| n:<i> | hash | a node: address, ticket key, epoch, state, slots used and allowed, rates, last request and reply |
| n:<i>:in:<epoch> | list | assignments that were matched for it while it was parked |
| n:<i>:orders | list | orders for its next heartbeat, as JSON |
| n:<i>:takes, n:<i>:serves, n:<i>:dropped | set | leases as receiver, as source, and those that it must drop |
| n:<i>:jobs | zset | open jobs that it still needs, most urgent first |
| n:<i>:serving | zset | open jobs that it may give shards of |
| n:<i>:all | set | every job in which it may hold shards |
| seen | zset | node index -> time of its last heartbeat |
| up | bitmap | nodes that are alive and have a free upload slot |
| leases, l:<lease> | zset, hash | when a lease expires, and what it is |
| jobs | zset | every job, most urgent first |
| j:<job> | hash | the job's spec, state and totals |
| j:<job>:plan | string | what its nodes need to know, opaque here |
| j:<job>:members | hash | node index -> enrolled, ready, done, failed |
| j:<job>:counts | hash | node index -> shards held |
| j:<job>:have:<i>, j:<job>:need:<i> | bitmap | shards that a node holds; shards neither held nor under way |
| j:<job>:hold:<s>, j:<job>:got:<s> | bitmap | nodes that hold a shard; nodes that hold or receive it |
| j:<job>:rarity, j:<job>:fresh | zset | live copies of each shard; shards that only the bucket can give |
| j:<job>:reading | hash | shard -> reads from the bucket under way |
| j:<job>:digest | hash | shard -> CRC-32C, of its first reader |
| j:<job>:suspects, j:<job>:disputes | set, hash | shards to be read again; file -> how often its checksum failed |
| j:<job>:chain, j:<job>:pace | zset, hash | a pipeline's order; node -> shards held at a time |
| j:<job>:parked | bitmap | nodes that wait for work |
| j:<job>:avoid | hash | "source>receiver" -> until when the pair is not matched |
| j:<job>:leases | set | leases of the job |
| events | stream | what happened, for the record |
| enrolment | set | digests of the keys with which nodes may register |
| counters | hash | assignments and attempts, for figures |
"""

from __future__ import annotations


class Keys:
    """Builds the keys that Python reads."""

    def __init__(self, cell: str) -> None:
        self.prefix = f"{{fdist:{cell}}}:"

    def __call__(self, name: str) -> str:
        return self.prefix + name

    def node(self, index: str, part: str = "") -> str:
        return f"{self.prefix}n:{index}{part}"

    def job(self, job: str, part: str = "") -> str:
        return f"{self.prefix}j:{job}{part}"
