"""Sets as bitmaps, in the server's Lua, against Python's sets."""

from __future__ import annotations

import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfers.scheduler import scripts

SIZE = 40
BYTES_TRIED = 8  # lib/bits.lua's
SETS = st.sets(st.integers(0, SIZE - 1))
BITS = (scripts.FOLDER / "lib" / "bits.lua").read_text()


def bitmap(numbers: set[int]) -> bytes:
    """As short as it can be, as Redis keeps it."""
    out = bytearray(max(numbers, default=-1) // 8 + 1)
    for number in numbers:
        out[number // 8] |= 128 >> number % 8
    return bytes(out)


# nothing is left in the server between two examples
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(have=SETS, got=SETS, limit=st.integers(1, 12), seed=st.integers(0, 2**31 - 1))
def test_some_bits_but_those_of_another(
    redis: redis_py.Redis, have: set[int], got: set[int], limit: int, seed: int
) -> None:
    """All of them, up to the limit, where both are so short; and what was in the list before stays behind them."""
    script = f"""{BITS}
        math.randomseed(ARGV[4])
        local out = {{ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 }}
        local found, count = some_bits_but(ARGV[1], ARGV[2], tonumber(ARGV[3]), out)
        return {{ count, found }}"""
    count, found = redis.eval(script, 0, bitmap(have), bitmap(got), limit, seed)
    assert SIZE <= 8 * BYTES_TRIED
    assert count == min(limit, len(have - got))
    assert set(found[:count]) <= have - got and len(set(found[:count])) == count
    assert found[count:] == [-1] * (15 - count)


def test_what_lies_far_away_is_not_looked_for(redis: redis_py.Redis) -> None:
    """Then the caller asks Redis: a scan in Lua takes no more than a few bytes."""
    script = f"{BITS} math.randomseed(1) return {{ some_bits_but(ARGV[1], ARGV[2], 4, {{}}) }}"
    have = b"\xff" * 1000
    assert redis.eval(script, 0, have, b"\xff" * 999 + b"\xfe")[1] == 0
    assert redis.eval(script, 0, have, b"")[1] == 4
