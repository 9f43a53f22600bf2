"""A ticket opens one shard of one job for one node until it ends, and nothing else."""

import hashlib

import pytest

from transfers.dataplane.tickets import check_ticket, make_ticket
from transfers.errors import BadTicket

TICKET = make_ticket("key", "job", 7, "gpu-01", 2_000)


def test_the_node_it_was_made_for_gets_in() -> None:
    check_ticket("key", TICKET, "job", 7, "gpu-01", 1_999)


@pytest.mark.parametrize(
    ("key", "job", "shard", "dst", "now"),
    [
        ("other", "job", 7, "gpu-01", 0),
        ("", "job", 7, "gpu-01", 0),
        ("key", "jobs", 7, "gpu-01", 0),
        ("key", "job", 8, "gpu-01", 0),
        ("key", "job", 7, "gpu-02", 0),
        ("key", "job", 7, "gpu-01", 2_000),
    ],
)
def test_anything_else_is_refused(key: str, job: str, shard: int, dst: str, now: int) -> None:
    with pytest.raises(BadTicket):
        check_ticket(key, TICKET, job, shard, dst, now)


@pytest.mark.parametrize("ticket", ["", ".", "x", "9999.", "9999.é", "-1." + "0" * 40, TICKET.replace("2000", "9000")])
def test_garbage_and_a_changed_expiry_are_refused(ticket: str) -> None:
    with pytest.raises(BadTicket):
        check_ticket("key", ticket, "job", 7, "gpu-01", 0)


@pytest.mark.parametrize("key", ["key", "k" * 64, "k" * 65])
def test_the_mac_is_made_of_the_two_hashes_that_a_lua_script_can_make(key: str) -> None:
    """HMAC of two SHA-1 calls, the inner one as the hexadecimal that Redis's sha1hex gives."""
    short = hashlib.sha1(key.encode()).hexdigest() if len(key) > 64 else key  # noqa: S324
    block = short.encode().ljust(64, b"\0")
    inner = hashlib.sha1(bytes(b ^ 0x36 for b in block) + b"job|7|gpu-01|2000").hexdigest()  # noqa: S324
    mac = hashlib.sha1(bytes(b ^ 0x5C for b in block) + inner.encode()).hexdigest()  # noqa: S324
    assert make_ticket(key, "job", 7, "gpu-01", 2_000) == f"2000.{mac}"
