"""A standing distribution between real processes: versions, switches, nodes that come and go, losses; byte by byte."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from fdist_site.local.processes import wait_until
from tests.e2e.conftest import Stage
from tests.e2e.llama import BUCKET, SIZE, Llama

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def llama(stage: Stage) -> Iterator[Llama]:
    found = Llama(stage.fleet)
    found.fleet.gcs.bucket(BUCKET)
    yield found
    stage.started += found.started
    with contextlib.suppress(Exception):  # a test may have ended it
        found.delete()


def test_a_standing_distribution_from_its_first_version_to_its_end(llama: Llama) -> None:
    names = llama.stand(2)
    llama.assert_right(names, "one")
    llama.wait_known(names, 1)
    watched = llama.watch(names)

    (late,) = llama.agents(1)  # a node joins
    llama.wait_right([late], 1, "one")
    names.append(late)

    llama.put("two", weights=1)  # a new generation: all switch
    llama.wait_right(names, 2, "two")
    llama.wait_known(names, 2)
    llama.put("three", weights=1)  # the same weights: they are taken from version 2
    llama.wait_right(names, 3, "three")
    first = llama.link(names[0]).parent / "versions/1"
    wait_until(lambda: not first.exists(), 60, "version 1 to go, as two are kept")
    job = llama.fleet.job(llama.row()["current_job"])
    assert job["bytes_from_gcs"] + job["bytes_from_peers"] < 2 * SIZE  # and not three times, once for each node

    assert llama.post("rollback")["current_version"] == 2
    llama.wait_right(names, 2, "two")
    time.sleep(3)  # of rounds and looks at the source
    llama.wait_version(names, 2, 1)
    assert llama.row()["state"] == "rolled_back"
    llama.post("resume")
    llama.wait_right(names, 3, "three")
    for each in watched:
        each.end()

    leaver = names.pop()  # a node loses the label
    llama.relabel(leaver)
    llama.wait_dropped(leaver)
    llama.wait_known(names, 3)
    llama.assert_right(names, "three")

    llama.delete("purge")
    for name in names:
        llama.wait_dropped(name)


def test_a_loss_of_redis_in_the_middle_of_a_version(llama: Llama) -> None:
    names = llama.stand(3)
    watched = llama.watch(names)
    llama.put("two")
    wait_until(lambda: llama.row()["newest_version"] == 2, 60, "version 2 to start")
    llama.fleet.redis.flushall()
    llama.wait_right(names, 2, "two")
    llama.fleet.redis.flushall()  # and once more, at rest
    (late,) = llama.agents(1)
    llama.wait_version([late], 2)
    llama.assert_right([*names, late], "two")
    llama.wait_known([*names, late], 2)
    for each in watched:
        each.end()


def test_a_coordinator_that_is_killed_before_the_switch_goes_on_where_it_was(llama: Llama) -> None:
    names = llama.stand(2)
    watched = llama.watch(names)
    llama.put("two")
    wait_until(lambda: llama.row()["newest_version"] == 2, 60, "version 2 to start")
    llama.fleet.kill("coordinator")
    llama.fleet.stop(names[0])  # and an agent starts while nobody coordinates
    llama.start(names[0])
    llama.fleet.start_coordinator()
    llama.wait_right(names, 2, "two")
    assert llama.row()["newest_version"] == 2
    for each in watched:
        each.end()


def test_a_node_killed_during_the_switch_comes_back_right(llama: Llama) -> None:
    names = llama.stand(3, share=0.5)
    victim, others = names[0], names[1:]
    watched = llama.watch(names)
    llama.put("two")
    wait_until(lambda: llama.row()["current_version"] == 2, 60, "the word to switch")
    llama.fleet.kill(victim)
    llama.wait_version(others, 2)
    assert llama.target(victim) in ("versions/1", "versions/2")
    llama.assert_right([victim], "one" if llama.target(victim) == "versions/1" else "two")
    llama.put("three")  # it misses one altogether
    llama.wait_version(others, 3)
    llama.start(victim)
    llama.wait_version([victim], 3)
    llama.assert_right(names, "three")
    llama.wait_known(names, 3)
    for each in watched:
        each.end()


def test_a_version_that_one_node_cannot_take_leaves_all_where_they_are_and_says_why(llama: Llama) -> None:
    names = llama.stand(2)
    in_the_way = llama.link(names[0]).parent / "versions/2"
    in_the_way.write_text("a file, where a folder is to be")
    llama.put("two")

    def told() -> bool:
        rows = llama.fleet.api("GET", f"standing/{llama.name}/nodes/")["results"]
        return any(row["node"] == names[0] and row["why"].startswith("version 2: ") for row in rows)

    wait_until(told, 60, "the reason to be told")
    assert [llama.target(name) for name in names] == ["versions/1"] * 2
    llama.assert_right(names, "one")
    row = llama.row()
    assert (row["current_version"], row["newest_version"], row["state"]) == (1, 2, "failed")
    in_the_way.unlink()
    llama.put("three")  # the way out: a newer one
    llama.wait_right(names, 3, "three")


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_a_node_that_joins_gets_what_the_others_use_though_the_bucket_has_it_no_longer(
    llama: Llama, topology: str
) -> None:
    names = llama.stand(2, topology=topology)
    llama.post("pause")
    llama.put("two")
    late = llama.agents(2)
    llama.wait_version(late, 1)
    llama.assert_right([*names, *late], "one")
    current = llama.row()["current_job"]
    assert llama.fleet.wait_job(current) == "complete"
    job = llama.fleet.job(current)
    assert job["bytes_from_gcs"] < 1.1 * sum(map(len, llama.contents["one"].values()))
    assert llama.row()["newest_version"] == 1
    llama.post("resume")
    llama.wait_right([*names, *late], 2, "two")
