"""Tickets: the right of one node to read one shard from one other node, for some minutes.

The scheduler signs a ticket with the key of the node that will serve (each node makes its own at its start), so no
node can make a ticket for another's bytes. HMAC-SHA1 (RFC 2104) because the signing is done inside Redis, whose Lua has
no other hash; HMAC does not depend on the collisions that SHA-1 is known for. That hash comes as hexadecimal, and
as such the inner one goes into the outer: a longer text for the same digest, no weaker.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from transfers.errors import BadTicket

BLOCK = 64  # bytes that SHA-1 takes at a time


def make_ticket(key: str, job: str, shard: int, dst: str, expires_ms: int) -> str:
    """A ticket "<expiry>.<mac>" for node `dst` to read `shard` of `job` from the node that owns `key`."""
    return f"{expires_ms}.{_mac(key, job, shard, dst, str(expires_ms))}"


def check_ticket(key: str, ticket: str, job: str, shard: int, dst: str, now_ms: int) -> None:
    """Raises BadTicket unless `ticket` lets `dst` read this shard now."""
    expires, _, mac = ticket.partition(".")
    if not key or not expires.isascii() or not expires.isdigit() or len(expires) > 15:
        raise BadTicket(f"node {dst!r} sent no ticket, or something that is not one")
    if not hmac.compare_digest(mac.encode("utf-8", "replace"), _mac(key, job, shard, dst, expires).encode()):
        raise BadTicket(f"the ticket of node {dst!r} for shard {shard} of job {job} was not signed for this")
    if int(expires) <= now_ms:
        late = (now_ms - int(expires)) / 1000
        raise BadTicket(f"the ticket of node {dst!r} for shard {shard} of job {job} ended {late:.1f} s ago")


def _mac(key: str, job: str, shard: int, dst: str, expires: str) -> str:
    message = f"{job}|{shard}|{dst}|{expires}"
    inner, outer = _pads(key)
    return _sha1(outer + _sha1(inner + message.encode("utf-8", "replace")).encode())


@lru_cache(maxsize=64)
def _pads(key: str) -> tuple[bytes, bytes]:
    """The key, filled up to a block, as it goes into the inner and the outer hash."""
    raw = key.encode()
    block = (_sha1(raw).encode() if len(raw) > BLOCK else raw).ljust(BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
