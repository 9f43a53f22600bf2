"""What concerns nodes: registering, heartbeats, leaving, orders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from transfers.errors import NotEnrolled, WrongProtocol
from transfers.scheduler.base import Base, compact, text, texts
from transfers.scheduler.protocol import spoken
from transfers.scheduler.types import Heartbeat, HeartbeatReply, NodeInfo, Question, Registration


class NodeCalls(Base):
    def set_enrolment_keys(self, digests: Sequence[str]) -> None:
        """Let nodes register with keys that have these SHA-256 digests (hex), and with no others.

        They also have to speak a protocol that this version works with.
        """
        key = self._keys("enrolment")
        with self._client.pipeline(transaction=True) as pipe:
            pipe.set(self._keys("protocol"), spoken())
            pipe.delete(key)
            if digests:
                pipe.sadd(key, *digests)
            pipe.execute()

    def register(self, node: NodeInfo, enrolment_key: str) -> Registration:
        """Present a node. What an earlier start of it held counts no longer until it is announced.

        Raises NotEnrolled when the cell does not know the key, and did not admit the node with it by its identity, or
        WrongProtocol.
        """
        digest = hashlib.sha256(enrolment_key.encode()).hexdigest()
        reply = self._run("register", digest, compact({**asdict(node), "labels": dict(node.labels)}))
        if int(reply[0]) == -2:
            oldest, newest = text(reply[1]).split()
            older = node.protocol < int(oldest)
            raise WrongProtocol(
                f"node {node.name} speaks protocol {node.protocol} and the coordinator {oldest} to {newest}: "
                + ("upgrade this agent" if older else "upgrade the coordinator first")
            )
        if int(reply[0]) == -1:
            why = text(reply[1])
            raise NotEnrolled(
                f"node {node.name} is not admitted: {why}"
                if why
                else f"node {node.name} has no valid enrolment key; get one from the coordinator"
            )
        return Registration(epoch=int(reply[0]), jobs=tuple(json.loads(reply[1])))

    def ask(self, node: str, secret: str, proof: str) -> None:
        """Ask to be let in by the identity of the machine, to register with `secret` from then on."""
        self._run("ask", node, hashlib.sha256(secret.encode()).hexdigest(), proof)

    def asking(self) -> list[Question]:
        """The nodes that have asked and have no answer yet."""
        found = texts(self._client.hgetall(self._keys("asking")))
        return [Question(node, **json.loads(body)) for node, body in found.items()]

    def admitted(self) -> set[str]:
        """The nodes that were let in by their identity."""
        return {text(node) for node in self._client.hkeys(self._keys("admitted"))}

    def admit(self, node: str, digest: str) -> None:
        """Let a node register with the secret that has this digest; what it was admitted with before ends."""
        self._run("admit", node, digest, "")

    def refuse(self, node: str, digest: str, why: str) -> None:
        """Tell a node that asked why it is not let in."""
        self._run("admit", node, digest, why)

    def expel(self, node: str) -> None:
        """End an admission: the node may stay, and has to ask again before it registers again."""
        self._run("admit", node, "", "")

    def heartbeat(self, beat: Heartbeat) -> HeartbeatReply:
        """Say that a node lives and how far its transfers are; gives what it has to know."""
        rates = (beat.rate_up, beat.rate_down, beat.rate_gcs)
        progress: Iterator[str | int] = chain.from_iterable(beat.progress.items())
        told = self._run("heartbeat", beat.node, beat.epoch, beat.disk_free, *rates, *progress)
        reply: dict[str, Any] = json.loads(told)
        return HeartbeatReply(
            known=reply["known"],
            jobs=tuple(reply.get("jobs", ())),
            cancelled=tuple(reply.get("cancelled", ())),
            orders=tuple(reply.get("orders", ())),
            draining=reply.get("draining", False),
            parked=reply.get("parked", False),
            currents=reply.get("currents", ""),
        )

    def leave(self, node: str) -> None:
        """A node's goodbye: its leases are freed and its copies discounted at once."""
        self._run("leave", node, "left", "left")

    def set_draining(self, node: str, draining: bool) -> None:
        """A draining node takes nothing new and still serves what it has."""
        self._run("node_set", node, "draining", int(draining))

    def order(self, node: str, order: Mapping[str, Any]) -> None:
        """Queue an order that the node gets with its next heartbeat."""
        self._run("node_set", node, "order", compact(dict(order)))

    def set_caps(
        self,
        node: str,
        upload_slots: int | None = None,
        download_slots: int | None = None,
        gcs_slots: int | None = None,
    ) -> None:
        """Change a node's slots, now and for its later starts."""
        for name, value in (("cap_up", upload_slots), ("cap_down", download_slots), ("cap_gcs", gcs_slots)):
            if value is not None:
                self._run("node_set", node, name, value)

    def _index(self, node: str) -> str | None:
        found = self._client.hget(self._keys("nodes"), node)
        return None if found is None else text(found)
