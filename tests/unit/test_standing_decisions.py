"""What is decided from plain facts: when a source is a version, which version nodes use, which go, who has what."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.dataplane.current import VersionPlace
from transfers.errors import PlanError
from transfers.planning import Listing, Manifest, SourceObject, parse_manifest, parse_source
from transfers.standing.decide import (
    Sight,
    VersionFacts,
    counting,
    membership,
    needed,
    next_current,
    pending,
    superseded,
    too_old,
)
from transfers.standing.request import overlaps
from transfers.standing.source import fingerprint

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE = timedelta(seconds=60)
NAMES = st.sets(st.sampled_from([f"n{number}" for number in range(8)]))
STATES = st.sampled_from(["enrolled", "moving", "done", "failed", "stopped", "evicted", "withdrawn"])


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# --- the source


def test_a_source_is_whole_when_two_looks_far_enough_apart_agree() -> None:
    sight = Sight().again("a", at(0))
    assert not sight.is_settled(SETTLE, at(0), marked=False)
    sight = sight.again("a", at(30))
    assert not sight.is_settled(SETTLE, at(30), marked=False)
    assert sight.is_settled(SETTLE, at(60), marked=False)


def test_every_change_begins_the_wait_anew() -> None:
    sight = Sight().again("a", at(0)).again("b", at(59))
    assert not sight.again("b", at(61)).is_settled(SETTLE, at(61), marked=False)
    assert sight.again("a", at(61)).times == 1


def test_a_marker_or_no_wait_makes_one_look_enough() -> None:
    sight = Sight().again("a", at(0))
    assert sight.is_settled(SETTLE, at(0), marked=True)
    assert sight.is_settled(timedelta(0), at(0), marked=False)
    assert not Sight().is_settled(timedelta(0), at(0), marked=True)


@given(
    looks=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 100)), min_size=1, max_size=30),
    settle=st.integers(1, 120),
)
def test_what_settled_was_the_same_for_so_long_in_every_look(looks: list[tuple[str, int]], settle: int) -> None:
    sight, clock, seen = Sight(), 0, []
    for state, pause in looks:
        clock += pause
        seen.append((clock, state))
        sight = sight.again(state, at(clock))
        same = []
        for when, what in reversed(seen):
            if what != state:
                break
            same.append(when)
        expected = len(same) >= 2 and clock - min(same) >= settle
        assert sight.is_settled(timedelta(seconds=settle), at(clock), marked=False) == expected


def test_it_is_looked_at_again_when_it_can_have_settled() -> None:
    sight, hour = Sight().again("a", at(0)), timedelta(hours=1)
    assert sight.next_look(SETTLE, hour, at(10), settled=False) == at(60)
    assert sight.next_look(SETTLE, timedelta(seconds=5), at(10), settled=False) == at(15)
    assert sight.next_look(SETTLE, hour, at(70), settled=True) == at(3670)
    assert sight.next_look(SETTLE, hour, at(70), settled=False) == at(71)


# --- which version


@pytest.mark.parametrize(
    ("share", "nodes", "least"), [(1.0, 10, 10), (0.9, 10, 9), (0.91, 10, 10), (0.1, 3, 1), (0.5, 0, 1), (0.7, 10, 7)]
)
def test_a_share_is_rounded_up_and_at_least_one_node(share: float, nodes: int, least: int) -> None:
    assert needed(share, nodes) == least


VERSIONS = st.lists(
    st.builds(
        VersionFacts,
        number=st.integers(1, 9),
        nodes=st.integers(0, 6),
        ready=st.integers(0, 6),
        current_at=st.none() | st.integers(0, 50).map(at),
    ),
    unique_by=lambda each: each.number,
    max_size=6,
)


@given(versions=VERSIONS, current=st.none() | st.integers(1, 9), passed=st.integers(0, 9), share=st.floats(0.01, 1))
def test_nodes_only_go_forward_to_what_enough_have(
    versions: list[VersionFacts], current: int | None, passed: int, share: float
) -> None:
    chosen = next_current(current, passed, share, versions)
    able = [v for v in versions if v.number > max(current or 0, passed) and v.ready >= needed(share, v.nodes)]
    assert chosen == max((v.number for v in able), default=None)


def test_a_version_without_a_node_is_never_used() -> None:
    assert next_current(None, 0, 0.01, [VersionFacts(1, nodes=0, ready=0)]) is None


def test_what_was_rolled_back_is_not_used_again_until_there_is_a_newer_one() -> None:
    two = VersionFacts(2, nodes=3, ready=3)
    assert next_current(1, 2, 1.0, [two]) is None
    assert next_current(1, 2, 1.0, [two, VersionFacts(3, nodes=3, ready=2)]) is None
    assert next_current(1, 2, 1.0, [two, VersionFacts(3, nodes=3, ready=3)]) == 3
    assert next_current(1, 0, 1.0, [two]) == 2  # somebody has resumed
    assert pending(1, 2, [two]) is None
    assert pending(1, 2, [two, VersionFacts(3)]) == 3


@given(versions=VERSIONS, pick=st.integers(0, 5), kept=st.integers(1, 5))
def test_what_goes_is_neither_current_nor_the_newest_nor_among_those_kept(
    versions: list[VersionFacts], pick: int, kept: int
) -> None:
    used = [v for v in versions if v.current_at is not None]
    current = used[pick % len(used)].number if used else None
    old, over = too_old(current, kept, versions), superseded(current, versions)
    assert current not in old and current not in over
    assert not set(old) & set(over)
    assert len(used) - len(old) <= max(kept, 1)
    assert len(used) - len(old) >= min(kept, len(used))
    if versions:
        assert max(v.number for v in versions) not in over
    by_number = {v.number: v for v in versions}
    stay = [v for v in used if v.number not in old and v.number != current]
    assert all(by_number[number].current_at <= v.current_at for number in old for v in stay)  # type: ignore[operator]


def test_the_version_before_stays_and_not_the_one_that_was_left() -> None:
    """Used were 1, 2, again 1 (a rollback), and now 3: with two kept, 1 is the one to go back to."""
    versions = [
        VersionFacts(1, current_at=at(30)),
        VersionFacts(2, current_at=at(20)),
        VersionFacts(3, current_at=at(40)),
    ]
    assert too_old(3, 2, versions) == [2]


# --- nodes


def test_nodes_that_join_later_do_not_hold_a_version_up() -> None:
    assert counting({"a", "b", "gone"}, {"a", "b", "new"}) == {"a", "b"}
    assert counting({"gone"}, {"new"}) == {"new"}
    assert counting({"gone"}, set()) == set()


@given(
    states=st.dictionaries(st.sampled_from([f"n{number}" for number in range(8)]), STATES),
    wanting=NAMES,
    others=NAMES,
    retry=NAMES,
)
def test_after_the_changes_exactly_those_that_want_it_are_at_it(
    states: dict[str, str], wanting: set[str], others: set[str], retry: set[str]
) -> None:
    others -= wanting
    changes = membership(states, wanting, others, retry)
    assert not changes.join & changes.again
    after = dict(states)
    after |= dict.fromkeys(changes.join | changes.again, "enrolled") | dict.fromkeys(changes.leave, "withdrawn")
    for name in wanting:
        assert after[name] in ("enrolled", "moving", "done") or (after[name] == "failed" and name not in retry)
    for name in others:
        assert after.get(name, "withdrawn") == "withdrawn"
    for name in set(states) - wanting - others:  # down: nothing is known, and nothing is done
        assert after[name] == states[name]
    again = membership(after, wanting, others, ())
    assert not (again.join or again.again or again.leave)


# --- places


@pytest.mark.parametrize(
    ("destination", "place"),
    [
        ("models/llama/versions/12", VersionPlace("models/llama", 12)),
        ("versions/1", VersionPlace("", 1)),
        ("models/versions/versions/3", VersionPlace("models/versions", 3)),
        ("models/llama", None),
        ("models/versions/0", None),
        ("models/versions/01", None),
        ("models/versions/1/x", None),
        ("models/versions/1\n", None),
        ("modelsversions/1", None),
    ],
)
def test_a_version_is_known_by_its_destination(destination: str, place: VersionPlace | None) -> None:
    assert VersionPlace.of(destination) == place
    if place is not None:
        assert place.destination == destination


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a/b", "a/b", True),
        ("", "", True),
        ("a", "a/versions/2/x", True),
        ("", "versions", True),
        ("a/current", "a", True),
        ("a", "a/b", False),
        ("", "a", False),
        ("a/b", "a/c", False),
        ("a", "ab", False),
    ],
)
def test_places_that_would_meet_are_known(one: str, other: str, meet: bool) -> None:
    assert overlaps(one, other) is overlaps(other, one) is meet


# --- what is the same


def listing(*generations: tuple[str, int], manifest: Manifest | None = None) -> Listing:
    objects = [SourceObject("bkt", f"m/{name}", generation, 10, 1) for name, generation in generations]
    return Listing(parse_source("gs://bkt/m/"), objects, manifest)


def test_a_source_is_another_when_a_name_or_a_generation_is() -> None:
    one = fingerprint(listing(("a", 1), ("b", 2)))
    assert one == fingerprint(listing(("b", 2), ("a", 1)))
    others = [listing(("a", 1)), listing(("a", 1), ("b", 3)), listing(("a", 1), ("c", 2)), listing(("a", 12), ("b", 2))]
    assert len({one, *map(fingerprint, others)}) == 5


def test_with_a_marker_only_that_counts() -> None:
    one = fingerprint(listing(("a", 1), ("DONE", 5)), "DONE")
    assert one == fingerprint(listing(("a", 9), ("b", 2), ("DONE", 5)), "DONE")
    assert one != fingerprint(listing(("a", 1), ("DONE", 6)), "DONE")
    with pytest.raises(PlanError, match="there is no gs://bkt/m/DONE"):
        fingerprint(listing(("a", 1), ("sub/DONE", 5)), "DONE")


def test_a_manifest_that_lists_the_same_shards_otherwise_is_another_version() -> None:
    def manifest(name: str) -> Manifest:
        text = {"fdist_manifest": 1, "files": [{"name": name, "shards": [{"object": "s1"}]}]}
        return parse_manifest(json.dumps(text).encode(), parse_source("gs://bkt/m/x.fdist.json"))

    one, other = (fingerprint(listing(("s1", 1), manifest=manifest(name))) for name in ("a", "b"))
    assert one != other
    assert one == fingerprint(listing(("s1", 1), manifest=manifest("a")))
