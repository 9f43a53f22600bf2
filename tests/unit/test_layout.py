"""The map between files, objects and shards, and the names that it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.dataplane.layout import Layout, OriginObject, PayloadFile, Segment
from transfers.dataplane.names import check_destination
from transfers.errors import PlanError


def layout_of(sizes: list[int], shard_size: int = 10, names: list[str] | None = None) -> Layout:
    names = names or [f"f{i:03}" for i in range(len(sizes))]
    return Layout(
        objects=tuple(
            OriginObject("b", f"p/{n}", i + 1, s, i) for i, (n, s) in enumerate(zip(names, sizes, strict=True))
        ),
        files=tuple(PayloadFile(n, s, i) for i, (n, s) in enumerate(zip(names, sizes, strict=True))),
        shard_size=shard_size,
    )


def test_small_files_share_a_shard_and_big_ones_span_several() -> None:
    layout = layout_of([3, 0, 4, 25, 1])
    assert (layout.size, layout.shard_count) == (33, 4)
    assert layout.file_segments(0) == [Segment(0, 0, 3), Segment(2, 0, 4), Segment(3, 0, 3)]
    assert layout.file_segments(2) == [Segment(3, 13, 10)]
    assert layout.file_segments(3) == [Segment(3, 23, 2), Segment(4, 0, 1)]
    assert layout.shards_of_file(3) == range(0, 4)
    assert layout.shards_of_file(1) == range(0)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 30))
def test_every_byte_belongs_to_exactly_one_shard_and_one_file(sizes: list[int], shard_size: int) -> None:
    layout = layout_of(sizes, shard_size)
    seen = [0] * len(sizes)
    for shard in range(layout.shard_count):
        segments = layout.file_segments(shard)
        assert segments == layout.object_segments(shard)
        assert sum(s.length for s in segments) == layout.shard_range(shard)[1]
        for segment in segments:
            assert segment.length > 0
            assert segment.offset == seen[segment.index]
            assert shard in layout.shards_of_file(segment.index)
            seen[segment.index] += segment.length
    assert seen == sizes


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 30))
def test_a_file_finds_its_segments_among_those_of_its_shards(sizes: list[int], shard_size: int) -> None:
    layout = layout_of(sizes, shard_size)
    for file in range(len(sizes)):
        parts = layout.segments_of_file(file)
        assert sum(segment.length for _, _, segment in parts) == sizes[file]
        for shard, position, segment in parts:
            assert layout.file_segments(shard)[position] == segment


def test_a_source_that_is_cut_already_keeps_its_cuts() -> None:
    layout = Layout(
        objects=tuple(OriginObject("b", f"s{i}", 1, size) for i, size in enumerate([7, 5, 9])),
        files=(PayloadFile("x", 10), PayloadFile("y", 11)),
        shard_size=9,
        cuts=(7, 12, 21),
    )
    assert layout.shard_count == 3
    assert layout.shard_range(1) == (7, 5)
    assert layout.object_segments(1) == [Segment(1, 0, 5)]
    assert layout.file_segments(1) == [Segment(0, 7, 3), Segment(1, 0, 2)]
    assert layout.shards_of_file(0) == range(0, 2)
    assert Layout.from_json(layout.to_json()) == layout


@given(st.lists(st.integers(0, 1 << 45), min_size=1, max_size=8), st.integers(1 << 30, 1 << 40))
def test_json_gives_the_same_layout_back(sizes: list[int], shard_size: int) -> None:
    layout = layout_of(sizes, shard_size)
    again = Layout.from_json(layout.to_json())
    assert again == layout
    assert again.to_json() == layout.to_json()
    assert again.shard_count == layout.shard_count


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "a//b", "../x", "a/../b", "a/.", "a/", "x\0y", ".fdist/jobs", "n" * 256, "\ud800"]
)
def test_a_name_that_could_land_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(PlanError) as caught:
        layout_of([1], names=[name])
    assert caught.value.field == "source"
    if name:
        with pytest.raises(PlanError) as caught:
            check_destination(name)
        assert caught.value.field == "destination"


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"]])
def test_files_that_cannot_be_on_one_disk_are_refused(names: list[str]) -> None:
    with pytest.raises(PlanError):
        layout_of([1] * len(names), names=names)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"v":2}',
        '{"v":1,"shard_size":1,"files":[],"objects":"x"}',
        '{"v":1,"shard_size":0,"files":[["a",1,null]],"objects":[["b","a",1,1,null]]}',
        '{"v":1,"shard_size":4,"files":[["a",1,null]],"objects":[["b","a",1,2,null]]}',
        '{"v":1,"shard_size":4,"files":[["a",99999999999,null]],"objects":[["b","a",1,99999999999,null]]}',
        '{"v":1,"shard_size":4,"files":[["a",-1,null]],"objects":[["b","a",1,-1,null]]}',
        '{"v":1,"shard_size":4,"files":[["a",1,4294967296]],"objects":[["b","a",1,1,null]]}',
        '{"v":1,"shard_size":4,"files":[["a",3,null]],"objects":[["b","a",1,3,null]],"cuts":[2]}',
        '{"v":1,"shard_size":4,"files":[["a",3,null]],"objects":[["b","a",1,3,null]],"cuts":[3,3]}',
    ],
)
def test_a_layout_that_does_not_add_up_is_refused(text: str) -> None:
    with pytest.raises(PlanError):
        Layout.from_json(text)
