"""Pictures as messages: the first one whole, then what changed.

{"job": {...},                                   figures of the whole job, always
 "names": ["gpu-01", ...],                       nodes that are new; their numbers go on from the last
 "nodes": [[number, state, held, position, why, rate], ...]      those that changed
 "bits": [[number, 1] or [number, "base64"] or [number, [shard, ...]], ...]     all, a bitmap, or what toggled
 "transfers": [[shard, number, source number or -1 for the bucket, bytes, ms], ...], "moving": how many in all
 "flights": [number, source number, shard, ...],  the same of all of them, one after the other
 "damaged": [[number, shard], ...]}               what arrived wrong; when that changed
"""

from __future__ import annotations

import base64
from typing import Any

from transfers.live.picture import NodePicture, Picture, full_bitmap, summary
from transfers.scheduler.types import GCS

SHOWN_TRANSFERS = 200
MOST_FLIGHTS = 3000
TOGGLE_COST = 5  # characters of a shard's number in a list, roughly


class DeltaWriter:
    """Numbers nodes as they appear, and remembers what was sent. One for each feed, shared by all its readers."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.sent: Picture | None = None

    def whole(self) -> dict[str, Any]:
        """The last picture sent, complete: what a reader that joins now begins with."""
        picture = self.sent
        if picture is None:
            raise ValueError("nothing was sent yet")
        names = list(self.numbers)
        return self._message(picture, picture, names, list(picture.nodes), full=True)

    def next(self, picture: Picture) -> dict[str, Any]:
        """What changed since the last picture; keeps this one as the last."""
        old, self.sent = self.sent, picture
        names = [name for name in picture.nodes if name not in self.numbers]
        for name in names:
            self.numbers[name] = len(self.numbers)
        changed = [
            name for name, node in picture.nodes.items() if old is None or _shown(old.nodes.get(name)) != _shown(node)
        ]
        return self._message(picture, old, names, changed, full=False)

    def _message(
        self, picture: Picture, old: Picture | None, names: list[str], changed: list[str], *, full: bool
    ) -> dict[str, Any]:
        number = self.numbers
        transfers = [
            [
                t.shard,
                number.get(t.node, -1),
                number.get(t.source, -1) if t.source != GCS else -1,
                t.bytes,
                t.milliseconds,
            ]
            for t in picture.transfers[:SHOWN_TRANSFERS]
            if t.node in number
        ]
        message: dict[str, Any] = {
            "job": summary(picture, None if full else old),
            "transfers": transfers,
            "moving": len(picture.transfers),
            "flights": self._flights(picture),
        }
        if old is None or full or old.damaged != picture.damaged:
            message["damaged"] = [[number[node], shard] for node, shard in picture.damaged if node in number]
        if names:
            message["names"] = names
        if nodes := [[number[name], *_shown(picture.nodes[name])] for name in changed if name in picture.nodes]:
            message["nodes"] = nodes
        if bits := self._bits(picture, None if full else old):
            message["bits"] = bits
        return message

    def _flights(self, picture: Picture) -> list[int]:
        found: list[int] = []
        for transfer in picture.transfers[:MOST_FLIGHTS]:
            if transfer.node in self.numbers:
                found += (self.numbers[transfer.node], self.numbers.get(transfer.source, -1), transfer.shard)
        return found

    def _bits(self, picture: Picture, old: Picture | None) -> list[list[Any]]:
        found: list[list[Any]] = []
        full = full_bitmap(picture.shard_count)
        for name, bits in picture.bits.items():
            before = old.bits.get(name, b"") if old else b""
            if bits == before:
                continue
            if bits == full:
                found.append([self.numbers[name], 1])
                continue
            toggled = toggled_bits(before, bits, picture.shard_count)
            whole_cost = len(bits) * 4 // 3
            found.append(
                [self.numbers[name], toggled]
                if len(toggled) * TOGGLE_COST < whole_cost
                else [self.numbers[name], base64.b64encode(bits).decode()]
            )
        return found


def _shown(node: NodePicture | None) -> list[Any]:
    return [] if node is None else [node.state, node.held, node.position, node.why, round(node.rate)]


def toggled_bits(before: bytes, after: bytes, count: int) -> list[int]:
    """The numbers of the bits that differ, of the first `count`; a shorter bitmap counts as padded with zeros."""
    width = -(-count // 8)
    left = int.from_bytes(before[:width].ljust(width, b"\0"), "big")
    difference = left ^ int.from_bytes(after[:width].ljust(width, b"\0"), "big")
    found: list[int] = []
    while difference:
        highest = difference.bit_length() - 1
        found.append(width * 8 - 1 - highest)
        difference ^= 1 << highest
    return [bit for bit in found if bit < count]
