"""What live pages are sent: everything once, then what changed, and a page that follows has the whole picture."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from transfers.live.delta import DeltaWriter, toggled_bits
from transfers.live.picture import NodePicture, Picture, TransferPicture, full_bitmap


def picture(held: dict[str, bytes], count: int = 40, **changes: Any) -> Picture:
    nodes = {name: NodePicture(name, "moving", int.from_bytes(bits, "big").bit_count()) for name, bits in held.items()}
    values: dict[str, Any] = {
        "job": "ab" * 16,
        "name": "llama",
        "state": "running",
        "error": "",
        "topology": "mesh",
        "size": 1000,
        "shard_count": count,
        "shard_size": 25,
        "at": 1.0,
        "elapsed": 1.0,
        "bytes_gcs": 0,
        "bytes_peer": 0,
        "missing": 0,
        "nodes": nodes,
        "bits": held,
    }
    return Picture(**values | changes)


class PageModel:
    """What job.js does with the messages, in Python."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.names: list[str] = []
        self.rows: list[list[int]] = []
        self.nodes: dict[int, list[Any]] = {}

    def take(self, message: dict[str, Any]) -> None:
        message = json.loads(json.dumps(message))
        for name in message.get("names", []):
            self.names.append(name)
            self.rows.append([0] * self.count)
        for number, *shown in message.get("nodes", []):
            self.nodes[number] = shown
        for number, change in message.get("bits", []):
            if isinstance(change, list):
                for shard in change:
                    self.rows[number][shard] ^= 1
            elif change == 1:
                self.rows[number] = [1] * self.count
            else:
                raw = base64.b64decode(change)
                self.rows[number] = [bit(raw, shard) for shard in range(self.count)]


def bit(raw: bytes, shard: int) -> int:
    return (raw[shard // 8] >> (7 - shard % 8)) & 1 if shard // 8 < len(raw) else 0


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.binary(max_size=5)), min_size=1, max_size=6))
def test_a_page_that_follows_the_changes_has_the_bitmaps(steps: list[dict[str, bytes]]) -> None:
    writer, page = DeltaWriter(), PageModel(40)
    seen: dict[str, bytes] = {}
    for step in steps:
        seen = seen | step  # nodes do not vanish from a job
        page.take(writer.next(picture(seen)))
    late = PageModel(40)
    late.take(writer.whole())
    for model in (page, late):
        assert set(model.names) == set(seen)
        for number, name in enumerate(model.names):
            assert model.rows[number] == [bit(seen[name], shard) for shard in range(40)]
            assert model.nodes[number][1] == int.from_bytes(seen[name], "big").bit_count()


def test_nodes_that_did_not_change_are_not_sent_again() -> None:
    writer = DeltaWriter()
    held = {f"n{i}": b"\0" * 5 for i in range(1000)}
    writer.next(picture(held))
    quiet = writer.next(picture(held))
    assert "nodes" not in quiet and "bits" not in quiet and "names" not in quiet
    changed = writer.next(picture(held | {"n7": b"\x80\0\0\0\0"}))
    assert changed["nodes"] == [[7, "moving", 1, None, "", 0]]
    assert changed["bits"] == [[7, [0]]]


def test_transfers_name_both_ends_by_their_numbers() -> None:
    writer = DeltaWriter()
    moving = (TransferPicture(3, "a", "", 10, 5), TransferPicture(4, "a", "b", 20, 6))
    message = writer.next(picture({"a": b"", "b": b""}, transfers=moving))
    assert message["transfers"] == [[3, 0, -1, 10, 5], [4, 0, 1, 20, 6]]


@given(st.binary(max_size=6), st.binary(max_size=6), st.integers(1, 48))
def test_toggled_bits_are_those_that_differ(before: bytes, after: bytes, count: int) -> None:
    assert toggled_bits(before, after, count) == [s for s in range(count) if bit(before, s) != bit(after, s)]


@given(st.integers(1, 100))
def test_a_full_bitmap_has_every_shard_and_no_more(count: int) -> None:
    assert [bit(full_bitmap(count), shard) for shard in range(count + 8)] == [1] * count + [0] * 8
