"""Every Redis key of a cell, with its type. The scripts build them from the prefix; Python reads some of them.

Prefix `{fdist:<cell>}:`, whose hash tag keeps a cell in one slot. <i> is a node's index, <job> a job's id, <s> a shard.

| key | type | what |
| --- | --- | --- |
| stamp | integer | the mark of the last call, to which each adds its seed; what the server's Lua remembers must be of |
| | | that call (lua/lib/cell.lua) |
| coordinator | string | when it last changed something; agents may not write it, and so cannot act as the coordinator |
| nodes, names | hash | node name -> index, and back |
| n:<i> | hash | a node: address, padded ticket key, epoch, state, slots, slowness (lua/lib/nodes.lua) |
| underway | hash | <i> -> transfers to a node, a line each, and what its last request was told |
| | | (lua/lib/underway.lua); <i>s -> leases of what others read from it, told late (lua/lib/idle.lua) |
| n:<i>:in:<epoch> | list | assignments that were matched for it while it was parked |
| n:<i>:orders | list | orders for its next heartbeat, as JSON |
| n:<i>:dropped | set | leases that it must drop |
| n:<i>:accused | set | sources from which it got damaged bytes |
| n:<i>:jobs | zset | open jobs that it still needs, most urgent first |
| n:<i>:serving | zset | open jobs that it may give shards of |
| n:<i>:all | set | every job in which it may hold shards |
| seen | zset | node index -> time of its last heartbeat, told late (lua/lib/nodes.lua) |
| due | zset | node index -> when the first of its transfers may have expired |
| shunned | zset | sources that are left alone -> until when |
| behind | set | what is to be written by a later call and is made anew if that call never came: "up", jobs of which |
| | | it is the rarity (lua/lib/lag.lua) |
| up, slow | bitmap | nodes that are alive and have a free upload slot; nodes that are slow |
| zones, zone:<zone> | set, bitmap | every zone (label "zone" of a node, may be empty); nodes of the zone |
| slow_count, trials | string | how many nodes are slow; transfers under way that try whether a node still is |
| jobs | zset | every job, most urgent first |
| j:<job> | hash | the job's spec, state, totals, and the median rates seen |
| j:<job>:plan | string | what its nodes need to know, opaque here |
| j:<job>:members | hash | node index -> enrolled, ready, done, failed, gone |
| j:<job>:have:<i>, j:<job>:all | bitmap | shards that a node holds; every shard |
| j:<job>:hold:<s> | bitmap | nodes that can be asked for a shard |
| j:<job>:got:<s> | bitmap | pipelines: nodes that hold a shard or receive it |
| j:<job>:into:<zone> | bitmap | shards that a zone has or gets, where the job keeps to zones |
| j:<job>:givers | bitmap | nodes that can be asked for something |
| j:<job>:rarity, j:<job>:fresh | zset | live copies of each shard; shards that only the bucket can give |
| j:<job>:reading | hash | shard -> reads from the bucket under way |
| j:<job>:digest | hash | shard -> CRC-32C, of its first reader |
| j:<job>:suspects, j:<job>:disputes | set, hash | shards to be read again; file -> how often its checksum failed |
| j:<job>:chain, j:<job>:pace | zset, hash | a pipeline's order; node -> shards held at a time |
| j:<job>:parked, j:<job>:waiting | zset, bitmap | nodes that wait for a peer, neediest first; the same as bits |
| j:<job>:readers | zset | nodes that could read from a slow bucket beside what they receive |
| j:<job>:ups, j:<job>:downs | hash | node -> transfers of this job, where it limits them |
| j:<job>:errors | hash | node index -> why the job failed there |
| j:<job>:avoid | hash | "source>receiver" -> until when the pair is not matched |
| j:<job>:log | list | the newest decisions, each with its reasons (lua/lib/log.lua) |
| events | stream | what happened, for the record (lua/lib/events.lua) |
| inventory | hash | node name -> what it keeps, as the node itself writes it |
| currents | hash | folder -> the job whose files nodes are to name by the link `current` there; agents read it |
| currents_rev | string | changes whenever that hash does; heartbeats bring it to the nodes |
| protocol | string | the oldest and the newest protocol of agents that the coordinator works with |
| enrolment | set | digests of the keys with which nodes may register |
| asking, admitted, refusals | hash | node name -> its question, the digest that it registers with, why not |
| totals | hash | what jobs that are forgotten had counted; lease_seq, node_seq, job_seq: string, numbers given |
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
