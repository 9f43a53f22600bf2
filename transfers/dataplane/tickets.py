"""Tickets: the right of one node to read one shard from one other node, for some minutes.

The scheduler signs a ticket with the key of the node that will serve (each node makes its own at its start), so no
node can make a ticket for another's bytes. HMAC-SHA1 because the signing is done inside Redis, whose Lua has no other
hash; HMAC does not depend on the collisions that SHA-1 is known for.
"""

from __future__ import annotations

import hashlib
import hmac

from transfers.errors import BadTicket


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
    return hmac.new(key.encode(), message.encode("utf-8", "replace"), hashlib.sha1).hexdigest()
