"""Reading the hot state, for pages, the recorder and tests. Nothing here changes anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from transfers.scheduler.base import Base, text, texts
from transfers.scheduler.types import Event, JobNodeView, JobState, JobView, LeaseView, NodeState, NodeView, Topology

WAITS = "nothing that it needs has a free source yet"
SLOW_MARKS = 2  # lib/rates.lua's MARKED


TRANSFER_FIELDS = ("job", "node", "shard", "source", "bytes", "ms", "lease")


def _event(cursor: str, fields: dict[str, str]) -> Event:
    """What lib/events.lua wrote."""
    at, kind, packed = int(fields.pop("t")), fields.pop("e"), fields.pop("d", None)
    if packed is not None:
        *known, last = packed.split("\t")
        fields.update(zip(TRANSFER_FIELDS, known, strict=True))
        fields["crc" if kind == "done" else "why"] = last
    return Event(cursor, at, kind, fields)


def _number(value: str | None) -> int:
    return int(float(value or 0))


class Reading(Base):
    def events(self, cursor: str, count: int = 1000, block_ms: int = 0) -> list[Event]:
        """What happened after `cursor` ("0" is the beginning), oldest first; waits up to block_ms for something."""
        found: Any = self._client.xread({self._keys("events"): cursor}, count=count, block=block_ms or None)
        streams = found.values() if isinstance(found, dict) else [rows for _, rows in found or []]
        out: list[Event] = []
        for rows in streams:
            if rows and isinstance(rows[0], list):
                rows = [row for part in rows for row in part]
            for at, raw in rows:
                out.append(_event(text(at), texts(raw)))
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

    def job(self, job: str) -> JobView | None:
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
        )

    def job_nodes(self, job: str) -> list[JobNodeView]:
        """Each node of a job, in the chain's order for a pipeline."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._keys.job(job, ":members"))
            pipe.hgetall(self._keys.job(job, ":counts"))
            pipe.zrange(self._keys.job(job, ":chain"), 0, -1)
            pipe.get(self._keys.job(job, ":waiting"))
            pipe.hget(self._keys.job(job), "topology")
            pipe.hgetall(self._keys.job(job, ":errors"))
            members, counts, chain, parked, topology, errors = pipe.execute()
        members, counts, errors = texts(members), texts(counts), texts(errors)
        order = [text(each) for each in chain if text(each) in members]
        names = self._names(order)
        with self._client.pipeline(transaction=False) as pipe:
            for index in order:
                pipe.hget(self._keys.node(index), "state")
                pipe.scard(self._keys.node(index, ":takes"))
            answers = pipe.execute()
        states = [None if each is None else text(each) for each in answers[::2]]
        moving = {index for index, takes in zip(order, answers[1::2], strict=True) if takes}
        out = []
        for place, index in enumerate(order):
            state = self._member_state(index, members[index], states[place], index in moving, parked or b"")
            out.append(
                JobNodeView(
                    node=names[place],
                    state=state,
                    held=_number(counts.get(index)),
                    position=place if topology is not None and text(topology) == "pipeline" else None,
                    why=errors.get(index, "") if state == "failed" else WAITS if state == "waiting" else "",
                )
            )
        return out

    @staticmethod
    def _member_state(index: str, member: str, node: str | None, moving: bool, parked: bytes | str) -> str:
        if member in ("done", "failed"):
            return member
        if member == "gone" or node in ("dead", "left"):
            return "dead"
        if moving:
            return "moving"
        if _has_bit(parked, int(index)):
            return "waiting"
        return member

    def leases(self, job: str | None = None) -> list[LeaseView]:
        """Transfers under way, of one job or of all."""
        found: Any = self._client.zrange(self._keys("leases"), 0, -1, withscores=True)
        ids = [(text(lease), expires) for lease, expires in found]
        with self._client.pipeline(transaction=False) as pipe:
            for lease, _ in ids:
                pipe.hgetall(self._keys(f"l:{lease}"))
            answers = pipe.execute()
        rows = [
            (lease, fields, expires)
            for (lease, expires), fields in zip(ids, map(texts, answers), strict=True)
            if fields and job in (None, fields["job"])
        ]
        wanted = [r["dst"] for _, r, _ in rows] + [r["src"] for _, r, _ in rows if r["src"]]
        names = dict(zip(wanted, self._names(wanted), strict=True))
        return [
            LeaseView(
                lease=lease,
                job=r["job"],
                shard=int(r["shard"]),
                node=names[r["dst"]],
                source=names[r["src"]] if r["src"] else "",
                started=int(r["started"]),
                expires=int(expires),
                bytes=_number(r["bytes"]),
            )
            for lease, r, expires in rows
        ]

    def nodes(self) -> list[NodeView]:
        """Every node that ever registered and was not removed."""
        found: Any = self._client.hgetall(self._keys("names"))
        indexes = list(texts(found))
        with self._client.pipeline(transaction=False) as pipe:
            for index in indexes:
                pipe.hgetall(self._keys.node(index))
                pipe.zrange(self._keys.node(index, ":jobs"), 0, -1)
            answers = pipe.execute()
        out = []
        for raw, jobs in zip(answers[::2], answers[1::2], strict=True):
            n = texts(raw)
            if n.get("state", "absent") == "absent":
                continue
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
                    uploads=_number(n["up"]),
                    downloads=_number(n["down"]),
                    gcs_reads=_number(n["gcs"]),
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

    def rarity(self, job: str) -> list[int]:
        """Live copies of each shard."""
        count = self._client.hget(self._keys.job(job), "shard_count")
        copies = [0] * int(text(count or 0))
        found: Any = self._client.zrange(self._keys.job(job, ":rarity"), 0, -1, withscores=True)
        for shard, score in found:
            copies[int(text(shard))] = int(score)
        return copies

    def overview(self) -> dict[str, int]:
        """Totals of the cell."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.mget(self._keys("attempts"), self._keys("lease_seq"))
            pipe.zcard(self._keys("leases"))
            pipe.zcard(self._keys("seen"))
            pipe.zcard(self._keys("jobs"))
            counters, leases, live, jobs = pipe.execute()
        return {
            "attempts": int(counters[0] or 0) + int(counters[1] or 0),
            "assigned": int(counters[1] or 0),
            "transfers": int(leases),
            "live_nodes": int(live),
            "jobs": int(jobs),
        }

    def _names(self, indexes: list[str]) -> list[str]:
        if not indexes:
            return []
        found: Any = self._client.hmget(self._keys("names"), indexes)
        return [text(each or "") for each in found]


def _has_bit(bitmap: bytes | str, index: int) -> bool:
    raw = bitmap.encode("latin-1") if isinstance(bitmap, str) else bitmap
    return index // 8 < len(raw) and bool(raw[index // 8] & (128 >> index % 8))
