"""Reading the hot state, for pages, the recorder and tests. Nothing here changes anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from transfers.scheduler.base import Base, text, texts
from transfers.scheduler.types import (
    GCS,
    UP,
    Event,
    JobNodeView,
    JobState,
    JobView,
    LeaseView,
    NodeState,
    NodeView,
    Topology,
    UpTotals,
)

WAITS = "nothing that it needs has a free source yet"
SLOW_MARKS = 2  # lib/rates.lua's MARKED


TRANSFER_FIELDS = ("at", "job", "node", "shard", "source", "bytes", "ms", "lease", "assigned", "first")


def _events(cursor: str, fields: dict[str, str]) -> Iterator[Event]:
    """What lib/events.lua wrote as one entry: one event, or one for each shard that it tells of."""
    if "e" in fields:
        yield Event(cursor, int(fields.pop("t")), fields.pop("e"), fields)
        return
    ((kind, packed),) = fields.items()
    names = (*TRANSFER_FIELDS, "crc" if kind == "done" else "why")
    values = packed.split("\t", -1 if kind == "done" else len(TRANSFER_FIELDS))  # a reason may have tabs
    for first in range(0, len(values), len(names)):
        event = dict(zip(names, values[first : first + len(names)], strict=True))
        yield Event(cursor, int(event.pop("at")), kind, event)


def _leases(index: str, takes: str) -> Iterator[tuple[str, str, str, LeaseView]]:
    """A node's transfers: index of receiver, of source, whether it is nearly over or follows another, all."""
    for line in filter(None, takes.split("\n")):
        lease, job, shard, source, started, expires, moved, _, ending = line.split("\t")
        follows = "" if ending == "1" else ending
        when = (int(started), int(expires))
        view = LeaseView(lease, job, int(shard), "", "", *when, _number(moved), ending == "1", follows)
        yield index, source, ending, view


def _transfers(kept: str) -> str:
    """Of what lib/underway.lua keeps of a node its transfers, a line each, without what it was told last."""
    return kept.partition("\1")[0]


def _number(value: str | None) -> int:
    return int(float(value or 0))


class Reading(Base):
    def events(self, cursor: str, count: int = 1000, block_ms: int = 0) -> list[Event]:
        """What happened after `cursor` ("0" is the beginning), oldest first; waits up to block_ms for something.

        count: entries at most, each of one event or of up to eight shards that came.
        """
        found: Any = self._client.xread({self._keys("events"): cursor}, count=count, block=block_ms or None)
        streams = found.values() if isinstance(found, dict) else [rows for _, rows in found or []]
        out: list[Event] = []
        for rows in streams:
            if rows and isinstance(rows[0], list):
                rows = [row for part in rows for row in part]
            for at, raw in rows:
                out += _events(text(at), texts(raw))
        return out

    def stream_bounds(self) -> tuple[str, str] | None:
        """Cursors of the oldest and the newest event that are kept; None when there is none."""
        key = self._keys("events")
        first: Any = self._client.xrange(key, count=1)
        last: Any = self._client.xrevrange(key, count=1)
        return (text(first[0][0]), text(last[0][0])) if first else None

    def jobs(self) -> list[str]:
        found: Any = self._client.zrange(self._keys("jobs"), 0, -1)
        return [text(each) for each in found]

    def job_state(self, job: str) -> JobState | None:
        """None when the scheduler holds no such job. Agents may ask this."""
        found: Any = self._client.hget(self._keys.job(job), "state")
        return None if found is None else cast(JobState, text(found))

    def job(self, job: str) -> JobView | None:
        """For the coordinator: its counts are written first, which agents may not."""
        self._run("tell")
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._keys.job(job))
            pipe.zcard(self._keys.job(job, ":fresh"))
            raw, missing = pipe.execute()
        if not raw:
            return None
        j = texts(raw)
        return JobView(
            job=job,
            state=cast(JobState, j["state"]),
            topology=cast(Topology, j["topology"]),
            shard_count=_number(j["shard_count"]),
            shard_size=_number(j["shard_size"]),
            size=_number(j["size"]),
            priority=_number(j["priority"]),
            gcs_slots=_number(j["gcs_slots"]),
            gcs_used=_number(j["gcs_used"]),
            nodes=_number(j["nodes"]),
            nodes_done=_number(j["done"]),
            nodes_failed=_number(j["failed"]),
            shards_held=_number(j["held"]),
            bytes_gcs=_number(j["bytes_gcs"]),
            bytes_peer=_number(j["bytes_peer"]),
            missing=int(missing),
            reason=j.get("reason", ""),
            own_zone=j.get("own_zone") == "1",
        )

    def job_nodes(self, job: str) -> list[JobNodeView]:
        """Each node of a job, in the chain's order for a pipeline."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._keys.job(job, ":members"))
            pipe.zrange(self._keys.job(job, ":chain"), 0, -1)
            pipe.get(self._keys.job(job, ":waiting"))
            pipe.hget(self._keys.job(job), "topology")
            pipe.hgetall(self._keys.job(job, ":errors"))
            members, chain, parked, topology, errors = pipe.execute()
        members, errors = texts(members), texts(errors)
        order = [text(each) for each in chain if text(each) in members]
        with self._client.pipeline(transaction=False) as pipe:
            for index in order:
                pipe.hmget(self._keys.node(index), "name", "state")
                pipe.bitcount(self._keys.job(job, f":have:{index}"))
            answers = pipe.execute()
        out = []
        rows = zip(order, answers[::2], answers[1::2], self._takes(order), strict=True)
        for place, (index, node, held, takes) in enumerate(rows):
            name, node_state = ("" if each is None else text(each) for each in node)
            state = self._member_state(index, members[index], node_state, bool(takes), parked or b"")
            out.append(
                JobNodeView(
                    node=name,
                    state=state,
                    held=int(held),
                    position=place if topology is not None and text(topology) == "pipeline" else None,
                    why=errors.get(index, "") if state == "failed" else WAITS if state == "waiting" else "",
                )
            )
        return out

    @staticmethod
    def _member_state(index: str, member: str, node: str, moving: bool, parked: bytes | str) -> str:
        if member in ("done", "failed"):
            return member
        if member == "gone" or node in ("dead", "left"):
            return "dead"
        if moving:
            return "moving"
        if _has_bit(parked, int(index)):
            return "waiting"
        return member

    def _takes(self, indexes: list[str]) -> list[str]:
        """The transfers of each of these nodes, a line each; "" where there are none."""
        found: Any = self._client.hmget(self._keys("underway"), indexes) if indexes else []
        return [_transfers(text(each or "")) for each in found]

    def leases(self, job: str | None = None) -> list[LeaseView]:
        """Transfers under way, of one job or of all."""
        if job is None:
            found: Any = self._client.hkeys(self._keys("names"))
        else:
            found = self._client.hkeys(self._keys.job(job, ":members"))
        indexes = [text(each) for each in found]
        rows = [
            (receiver, source, view)
            for index, takes in zip(indexes, self._takes(indexes), strict=True)
            for receiver, source, _, view in _leases(index, takes)
            if job in (None, view.job)
        ]
        wanted = [receiver for receiver, _, _ in rows] + [source for _, source, _ in rows if source]
        names = dict(zip(wanted, self._names(wanted), strict=True))
        return [replace(view, node=names[receiver], source=names.get(source, "")) for receiver, source, view in rows]

    def nodes(self) -> list[NodeView]:
        """Every node that ever registered and was not removed."""
        found: Any = self._client.hgetall(self._keys("names"))
        indexes = list(texts(found))
        with self._client.pipeline(transaction=False) as pipe:
            for index in indexes:
                pipe.hgetall(self._keys.node(index))
                pipe.zrange(self._keys.node(index, ":jobs"), 0, -1)
            pipe.hgetall(self._keys("underway"))
            *answers, taken = pipe.execute()
        takes = {
            index: list(_leases("", _transfers(each)))
            for index, each in texts(taken).items()
            if not index.endswith("s")  # what is read from it
        }
        uploads = Counter(source for each in takes.values() for _, source, ending, _ in each if not ending)
        out = []
        for index, raw, jobs in zip(indexes, answers[::2], answers[1::2], strict=True):
            n = texts(raw)
            if n.get("state", "absent") == "absent":
                continue
            taking = [source for _, source, ending, _ in takes.get(index, ()) if not ending]
            out.append(
                NodeView(
                    name=n["name"],
                    state=cast(NodeState, n["state"]),
                    address=n["address"],
                    epoch=int(n["epoch"]),
                    labels=json.loads(n["labels"]) or {},
                    seen=_number(n["seen"]),
                    disk_total=_number(n["disk_total"]),
                    disk_free=_number(n["disk_free"]),
                    rate_up=float(n.get("rate_up", 0)),
                    rate_down=float(n.get("rate_down", 0)),
                    rate_gcs=float(n.get("rate_gcs", 0)),
                    uploads=uploads[index],
                    downloads=sum(1 for source in taking if source),
                    gcs_reads=taking.count(""),
                    upload_slots=_number(n["up_max"]),
                    download_slots=_number(n["down_max"]),
                    gcs_slots=_number(n["gcs_max"]),
                    jobs=[text(each) for each in jobs],
                    version=n.get("version", ""),
                    barred=n.get("barred") == "1",
                    slow=_number(n.get("slow")) >= SLOW_MARKS,
                )
            )
        return out

    def last_beats(self, nodes: Sequence[str]) -> dict[str, int]:
        """When each node's last heartbeat came, ms; those that are not up are left out. Cost: two round trips."""
        if not nodes:
            return {}
        indexes: Any = self._client.hmget(self._keys("nodes"), list(nodes))
        known = [(node, text(index)) for node, index in zip(nodes, indexes, strict=True) if index is not None]
        beats: Any = self._client.zmscore(self._keys("seen"), [index for _, index in known]) if known else []
        return {node: int(beat) for (node, _), beat in zip(known, beats, strict=True) if beat is not None}

    def up_totals(self) -> UpTotals:
        """Cost: three round trips, and 20 us a node: a fifth of what `nodes` takes."""
        fields = ("rate_gcs", "rate_down", "disk_total", "disk_free")
        indexes: Any = self._client.hkeys(self._keys("names"))
        with self._client.pipeline(transaction=False) as pipe:
            for index in indexes:
                pipe.hmget(self._keys.node(text(index)), "state", *fields)
            rows = pipe.execute()
        up = [[float(value or 0) for value in figures] for state, *figures in rows if state and text(state) in UP]
        bucket, peers, total, free = (sum(column) for column in zip(*up, strict=True)) if up else (0.0,) * len(fields)
        reads = sum(lease.source == GCS and not lease.ending for lease in self.leases())
        return UpTotals(round(bucket), round(peers), int(total), int(free), reads)

    def held(self, job: str, node: str) -> bytes:
        """The shards that a node holds, bit i of byte i // 8 counted from the most significant."""
        index = self._client.hget(self._keys("nodes"), node)
        if index is None:
            return b""
        command: Any = self._client.execute_command  # NEVER_DECODE: a bitmap is not text, whatever the client is set to
        found = command("GET", self._keys.job(job, f":have:{text(index)}"), NEVER_DECODE=True)
        return found or b""

    def held_by(self, job: str, nodes: Sequence[str]) -> dict[str, bytes]:
        """As `held`, of many nodes in two round trips; nodes that the cell does not know are left out."""
        if not nodes:
            return {}
        found: Any = self._client.hmget(self._keys("nodes"), list(nodes))
        known = [(node, text(index)) for node, index in zip(nodes, found, strict=True) if index is not None]
        with self._client.pipeline(transaction=False) as pipe:
            command: Any = pipe.execute_command
            for _, index in known:
                command("GET", self._keys.job(job, f":have:{index}"), NEVER_DECODE=True)
            bitmaps = pipe.execute()
        return {node: bits or b"" for (node, _), bits in zip(known, bitmaps, strict=True)}

    def in_zone(self, job: str, zone: str) -> bytes:
        """The shards that a zone has or gets, bits as in `held`; of a job that keeps to zones."""
        command: Any = self._client.execute_command
        return command("GET", self._keys.job(job, f":into:{zone}"), NEVER_DECODE=True) or b""

    def rarity(self, job: str) -> list[int]:
        """Live copies of each shard. For the coordinator, as `job` is."""
        self._run("tell")
        count = self._client.hget(self._keys.job(job), "shard_count")
        copies = [0] * int(text(count or 0))
        found: Any = self._client.zrange(self._keys.job(job, ":rarity"), 0, -1, withscores=True)
        for shard, score in found:
            copies[int(text(shard))] = int(score)
        return copies

    def overview(self) -> dict[str, int]:
        """Totals of the cell. assigned, attempts: transfers given, and pairs of nodes looked at for them, ever."""
        self._run("tell")
        counted = ("moving", "assigned", "attempts")
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._keys("totals"))
            pipe.zcard(self._keys("seen"))
            pipe.zrange(self._keys("jobs"), 0, -1)
            forgotten, live, jobs = pipe.execute()
        with self._client.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hmget(self._keys.job(text(job)), *counted)
            answers = pipe.execute()
        totals = {name: sum(_number(row[k] and text(row[k])) for row in answers) for k, name in enumerate(counted)}
        past = texts(forgotten)
        return {
            "attempts": totals["attempts"] + _number(past.get("attempts")),
            "assigned": totals["assigned"] + _number(past.get("assigned")),
            "transfers": totals["moving"],
            "live_nodes": int(live),
            "jobs": len(jobs),
        }

    def _names(self, indexes: list[str]) -> list[str]:
        if not indexes:
            return []
        found: Any = self._client.hmget(self._keys("names"), indexes)
        return [text(each or "") for each in found]


def _has_bit(bitmap: bytes | str, index: int) -> bool:
    raw = bitmap.encode("latin-1") if isinstance(bitmap, str) else bitmap
    return index // 8 < len(raw) and bool(raw[index // 8] & (128 >> index % 8))
