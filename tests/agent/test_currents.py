"""The link `current` of a node: where the coordinator wants it, as soon as that version is whole, over any loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes import inventory
from nodes.inventory import Linked
from tests.agent.fleet import MB, SIGNER, Fleet, Payload, wait_until

BASE = "models/m"


def version(fleet: Fleet, number: int, size: int = 2 * MB) -> tuple[str, Payload]:
    payload = fleet.payload({"a": size, "sub/b": 1000}, seed=number)
    job = fleet.submit(payload, list(fleet.agents), destination=f"{BASE}/versions/{number}")
    fleet.wait_state(job, "complete")
    return job, payload


def purge(job: str, **more: bool) -> dict[str, object]:
    return {"op": "purge", "job": job, "signature": SIGNER.sign_purge(job, "n1"), **more}


def link(fleet: Fleet, node: str = "n1") -> Path:
    return fleet.root / node / BASE / "current"


def points_to(fleet: Fleet, number: int, node: str = "n1") -> bool:
    path = link(fleet, node)
    return path.is_symlink() and str(path.readlink()) == f"versions/{number}"


def told(fleet: Fleet, node: str = "n1") -> dict[str, Linked]:
    found = inventory.read(fleet.redis, "main", node)
    return dict(found.links) if found else {}


def test_nodes_follow_the_word_there_and_back_and_say_so(fleet: Fleet) -> None:
    fleet.start_all(["n1", "n2"])
    first, one = version(fleet, 1)
    second, two = version(fleet, 2)
    assert not link(fleet).exists()
    for number, job, payload in ((1, first, one), (2, second, two), (1, first, one)):
        assert fleet.scheduler.set_current(BASE, job)
        for node in ("n1", "n2"):
            wait_until(lambda: points_to(fleet, number, node), what=f"{node} to use version {number}")  # noqa: B023
            wait_until(lambda: told(fleet, node) == {BASE: Linked(job)}, what=f"{node} to say so")  # noqa: B023
            payload.check(fleet.root / node, f"{BASE}/current")


def test_a_version_is_used_only_when_it_is_whole(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    first, _ = version(fleet, 1)
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: points_to(fleet, 1), what="version 1")
    payload = fleet.payload({"a": 2 * MB}, seed=5)
    job = fleet.submit(payload, [], destination=f"{BASE}/versions/2")
    fleet.scheduler.set_current(BASE, job)
    fleet.scheduler.enrol(job, ["n1"])
    wait_until(lambda: points_to(fleet, 2), what="version 2")
    payload.check(fleet.root / "n1", f"{BASE}/current")


def test_a_loss_of_redis_leaves_the_link_and_the_word_comes_again(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    first, _ = version(fleet, 1)
    second, _ = version(fleet, 2)
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: told(fleet) == {BASE: Linked(first)}, what="version 1")
    fleet.forget_everything()
    wait_until(lambda: told(fleet) == {BASE: Linked(first)}, what="n1 to be back")
    assert points_to(fleet, 1)
    fleet.scheduler.set_current(BASE, second)
    wait_until(lambda: points_to(fleet, 2), what="version 2")


def test_a_link_that_was_changed_while_the_agent_was_away_is_put_right(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    first, _ = version(fleet, 1)
    second, _ = version(fleet, 2)
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: points_to(fleet, 1), what="version 1")
    fleet.stop("n1")
    link(fleet).with_name(".current.new").symlink_to("versions/9")  # what a kill between two steps leaves
    fleet.scheduler.set_current(BASE, second)
    fleet.start_all(["n1"])
    wait_until(lambda: points_to(fleet, 2), what="version 2")
    assert sorted(path.name for path in link(fleet).parent.iterdir()) == ["current", "versions"]


def test_what_the_link_names_is_not_evicted_and_not_purged_as_old(fleet: Fleet) -> None:
    fleet.start("n1", quota=5 * MB)
    wait_until(lambda: fleet.agents["n1"].session.epoch is not None, what="registration")
    first, payload = version(fleet, 1)
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: told(fleet) == {BASE: Linked(first)}, what="version 1")
    fleet.scheduler.order("n1", purge(first, unless_linked=True))
    big = fleet.payload({"c": 4 * MB}, seed=7)
    job = fleet.submit(big, ["n1"], destination="other")
    fleet.wait_state(job, "failed")
    payload.check(fleet.root / "n1", f"{BASE}/current")


def test_a_purge_takes_the_link_away_with_the_files(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    first, _ = version(fleet, 1)
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: told(fleet) == {BASE: Linked(first)}, what="version 1")
    fleet.scheduler.withdraw(first, ["n1"])
    fleet.scheduler.order("n1", purge(first))
    wait_until(lambda: not (fleet.root / "n1" / "models").exists(), what="all of it to go")
    wait_until(lambda: told(fleet) == {}, what="n1 to say so")


def test_something_else_in_the_place_of_the_link_is_left_alone_and_told(fleet: Fleet) -> None:
    fleet.start_all(["n1"])
    first, _ = version(fleet, 1)
    link(fleet).mkdir()
    (link(fleet) / "mine").write_text("precious")
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: "is no link" in told(fleet).get(BASE, Linked("")).error, what="n1 to say why")
    assert (link(fleet) / "mine").read_text() == "precious"
    link(fleet).rename(link(fleet).with_name("moved"))
    fleet.agents["n1"].links.soon()
    wait_until(lambda: told(fleet) == {BASE: Linked(first)}, what="n1 to go on")


def test_redis_cannot_point_a_link_elsewhere(fleet: Fleet) -> None:
    """Whoever writes to Redis can have nodes use another version, and nothing else."""
    fleet.start_all(["n1"])
    first, _ = version(fleet, 1)
    for folder in ("models", "../../etc", "nul\0", BASE + "/versions"):
        fleet.scheduler.set_current(folder, first)
    fleet.scheduler.set_current("other", "../../../etc")
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: points_to(fleet, 1), what="version 1")
    links = [path for path in fleet.root.rglob("*") if path.is_symlink()]
    assert links == [link(fleet)]


@pytest.mark.parametrize("step", ["symlink_to", "replace"])
def test_a_kill_between_two_steps_leaves_a_whole_link(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    fleet.start_all(["n1"])
    first, one = version(fleet, 1)
    second, two = version(fleet, 2)
    fleet.scheduler.set_current(BASE, first)
    wait_until(lambda: points_to(fleet, 1), what="version 1")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    currents = fleet.agents["n1"].store.currents
    with monkeypatch.context() as patched:
        patched.setattr(Path, step, die)
        with pytest.raises(Killed):
            currents.switch(BASE, second)
    one.check(fleet.root / "n1", f"{BASE}/current")
    assert currents.switch(BASE, second)
    two.check(fleet.root / "n1", f"{BASE}/current")
