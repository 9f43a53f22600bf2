"""Labels and selectors, as people write them."""

from __future__ import annotations

import pytest

from nodes.labels import describe, matches, parse_labels, parse_selector


def test_labels_are_read_from_text() -> None:
    assert parse_labels("zone=a, kind=h100,") == {"zone": "a", "kind": "h100"}
    assert parse_labels("") == {}
    assert parse_labels("empty=") == {"empty": ""}


@pytest.mark.parametrize("text", ["zone", "=a", "zo ne=a", "zone=" + "x" * 200])
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="label"):
        parse_labels(text)


def test_a_selector_matches_nodes_with_all_of_its_labels() -> None:
    selector = parse_selector({"labels": {"zone": "a", "kind": "h100"}})
    assert matches(selector, "n", {"zone": "a", "kind": "h100", "more": "x"})
    assert not matches(selector, "n", {"zone": "a"})
    assert matches(parse_selector("all"), "n", {})
    assert matches(parse_selector(["n"]), "n", {})
    assert not matches(parse_selector(["n"]), "m", {})
    assert not matches({}, "n", {}), "no selector picks no node"


def test_selectors_are_described_in_words() -> None:
    assert describe({"all": True}) == "all nodes"
    assert describe({"names": ["a", "b"]}) == "a, b"
    assert describe({"labels": {"zone": "a"}}) == "zone=a"
