"""Figures as people read and write them."""

from __future__ import annotations

import pytest

from transfers.words import duration_text, few, parse_size, size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (91_200_000_000, "91.2 GB"),
        (999_960, "1.0 MB"),
        (10**19, "10000.0 PB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("64MiB", 64 * 2**20), ("1.5 GB", 1_500_000_000), ("4096", 4096), ("1k", 1000), ("2 TiB", 2**41)],
)
def test_sizes_are_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "big", "-1", "1 XB", "1.2.3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)


def test_durations_and_short_lists() -> None:
    assert [duration_text(s) for s in (4.21, 185, 7800)] == ["4.2 s", "3 min 05 s", "2 h 10 min"]
    assert few(["a", "b"]) == "a, b"
    assert few(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
