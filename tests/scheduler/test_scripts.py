"""Every script can be loaded, and its header says what it takes, gives and costs."""

from __future__ import annotations

import pytest
import redis as redis_py

from transfers.scheduler import scripts


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_compiles(redis: redis_py.Redis, name: str) -> None:
    assert redis.script_load(scripts.source(name))


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_never_reads_a_clock(name: str) -> None:
    assert "'TIME'" not in scripts.source(name)


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_says_what_it_takes_and_gives(name: str) -> None:
    head = scripts.source(name).splitlines()[:20]
    assert head[0].startswith(f"-- {name}: ")
    assert any(line.startswith("-- ARGV") for line in head)
    assert any(line.startswith("-- Reply") for line in head)
