"""The Lua loads both ways, its headers say what it takes, gives and costs, and a server that lost it gets it again."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_py

from tests.scheduler.cell import JOB, Cell
from transfers.errors import WrongProtocol
from transfers.scheduler import scripts
from transfers.scheduler.protocol import spoken as spoken_now


def text(name: str) -> str:
    return (scripts.FOLDER / f"{name}.lua").read_text()


def play(cell: Cell) -> None:
    """A job of three nodes, from beginning to end."""
    names = ["a", "b", "c"]
    cell.nodes(*names)
    cell.job(names, shards=5)
    for name in names:
        cell.holds(name)
    assert cell.run(*names) == 15
    view = cell.scheduler.job(JOB)
    assert view is not None and view.state == "complete" and view.bytes_gcs == 50


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_compiles(redis: redis_py.Redis, name: str) -> None:
    assert redis.script_load(scripts.script(name))


def test_the_library_compiles(redis: redis_py.Redis) -> None:
    assert redis.function_load(scripts.library(), replace=True)


def test_every_shared_part_is_used() -> None:
    assert sorted(scripts.PARTS) == sorted(path.stem for path in (scripts.FOLDER / "lib").glob("*.lua"))


@pytest.mark.parametrize("name", [*scripts.names(), *(f"lib/{part}" for part in scripts.PARTS)])
def test_a_script_never_reads_a_clock(name: str) -> None:
    assert "'TIME'" not in text(name)


def test_a_field_of_a_record_is_kept_by_number() -> None:
    assert "[1]" in scripts.library() and "._index" not in scripts.library()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("n._speed = 1", "^lost.lua: no part declares a place for speed$"),
        ("-- places: zone", "zone has a place already$"),
    ],
)
def test_a_field_without_a_place_or_with_two_is_found_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "nodes.lua").write_text("-- places: zone\n")
    (tmp_path / "lib" / "lost.lua").write_text(f"{line}\n")
    monkeypatch.setattr(scripts, "FOLDER", tmp_path)
    monkeypatch.setattr(scripts, "PARTS", ("nodes", "lost"))
    monkeypatch.setattr(scripts, "_places", scripts._places.__wrapped__)
    with pytest.raises(ValueError, match=said):
        scripts._text.__wrapped__(tmp_path / "lib" / "lost.lua")


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_says_what_it_takes_and_gives(name: str) -> None:
    head = text(name).splitlines()[:20]
    assert head[0].startswith(f"-- {name}: ")
    assert any(line.startswith("-- ARGV") for line in head)
    assert any(line.startswith("-- Reply") for line in head)


def test_a_server_without_functions_is_served_by_scripts(cell: Cell) -> None:
    cell.scheduler._scripts = scripts.Scripts(cell.client, "{fdist:main}:", functions=False)
    play(cell)


def test_a_server_that_refuses_functions_is_served_by_scripts(redis: redis_py.Redis) -> None:
    redis.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-function", "-fcall"])
    try:
        own = {**redis.connection_pool.connection_kwargs, "username": "plain", "password": "any"}
        play(Cell(redis_py.Redis(**{k: own[k] for k in ("host", "port", "username", "password")})))
    finally:
        redis.acl_deluser("plain")


def test_a_server_that_lost_the_library_gets_it_again(cell: Cell) -> None:
    cell.nodes("a")
    cell.client.function_flush()
    play(cell)


def test_a_server_that_lost_its_scripts_gets_them_again(cell: Cell) -> None:
    cell.scheduler._scripts = scripts.Scripts(cell.client, "{fdist:main}:", functions=False)
    cell.nodes("a")
    cell.client.script_flush()
    play(cell)


@pytest.mark.parametrize(
    ("spoken", "said"), [("2 3", "upgrade this agent"), ("0 0", "upgrade the coordinator first"), ("1 2", "")]
)
def test_an_agent_registers_if_its_protocol_is_one_of_the_coordinators(cell: Cell, spoken: str, said: str) -> None:
    cell.client.set("{fdist:main}:protocol", spoken)
    if not said:
        cell.nodes("a")
        return
    with pytest.raises(WrongProtocol, match=rf"^node a speaks protocol 1 and the coordinator {spoken[0]} to .*{said}"):
        cell.nodes("a")
    assert cell.scheduler.nodes() == []


def test_a_coordinator_says_which_protocols_it_works_with(cell: Cell) -> None:
    cell.client.delete("{fdist:main}:protocol")
    cell.nodes("a")  # Redis lost it, and the coordinator has not said it again yet
    cell.scheduler.set_enrolment_keys([])
    assert cell.client.get("{fdist:main}:protocol") == spoken_now().encode()


@pytest.mark.parametrize("functions", [True, False])
def test_the_ends_of_transfers_alone_keep_the_stream_of_events_short(cell: Cell, functions: bool) -> None:
    cell.scheduler._scripts = scripts.Scripts(cell.client, "{fdist:main}:", functions=functions)
    cell.nodes("a")
    cell.job(["a"], shards=80)
    cell.holds("a")
    fill = "for k = 1, 220000 do redis.call('XADD', KEYS[1], '*', 't', '0', 'e', 'x') end"
    cell.client.eval(fill, 1, "{fdist:main}:events")
    before = cell.client.xlen("{fdist:main}:events")
    reply = cell.next("a")
    for _ in range(64):
        reply = cell.end("a", reply.assignments[0], want=1)
    assert cell.client.xlen("{fdist:main}:events") < before
