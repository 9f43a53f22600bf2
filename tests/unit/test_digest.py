"""CRC-32C against the published check value, and against itself cut anywhere."""

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.dataplane import digest
from transfers.dataplane.digest import RunningCrc, combine_crc32c, crc32c


def test_the_published_check_value_comes_out() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(memoryview(bytearray(b"123456789"))) == 0xE3069283


def test_the_c_library_is_called_without_copies_here() -> None:
    assert google_crc32c.implementation == "c"
    assert digest._extend is not None


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_every_kind_of_buffer_gives_the_same_sum(data: bytes, cut: int) -> None:
    expected = google_crc32c.value(data)
    head = crc32c(data[:cut])
    assert crc32c(bytearray(data[cut:]), head) == expected
    assert crc32c(memoryview(data)[cut:], head) == expected
    assert crc32c(memoryview(bytearray(data))[cut:], head) == expected


@pytest.mark.parametrize("reachable", [True, False])
def test_it_works_where_the_library_cannot_be_called_directly(reachable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not reachable:
        monkeypatch.setattr(digest, "_extend", None)
    assert crc32c(memoryview(bytearray(b"x" * 70_000))) == google_crc32c.value(b"x" * 70_000)


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_sums_of_runs_combine_to_the_sum_of_the_whole(runs: list[bytes]) -> None:
    running, combined = RunningCrc(), RunningCrc()
    for run in runs:
        running.update(run)
        combined.append(crc32c(run), len(run))
    whole = b"".join(runs)
    assert running.value == combined.value == google_crc32c.value(whole)
    assert running.length == combined.length == len(whole)


def test_combining_holds_for_lengths_beyond_memory() -> None:
    """Appending 5 TiB of zeros in one step equals doing it in 5 steps of 1 TiB."""
    tib = 1 << 40
    zeros_tib = _zeros(40)
    whole, length = zeros_tib, tib
    for _ in range(4):
        whole, length = combine_crc32c(whole, zeros_tib, tib), length + tib
    assert combine_crc32c(crc32c(b"head"), whole, length) == combine_crc32c(
        combine_crc32c(combine_crc32c(crc32c(b"head"), zeros_tib, tib), zeros_tib, tib),
        _repeat(zeros_tib, tib, 3),
        3 * tib,
    )


def _zeros(power: int) -> int:
    crc = crc32c(b"\0")
    for step in range(power):
        crc = combine_crc32c(crc, crc, 1 << step)
    return crc


def _repeat(crc: int, length: int, times: int) -> int:
    total = crc
    for _ in range(times - 1):
        total = combine_crc32c(total, crc, length)
    return total
