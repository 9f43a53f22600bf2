"""Bytes in motion: every flow gets its share of its sender's upload and of its receiver's download rate.

An endpoint's capacity is water-filled over its flows: a flow that its other end holds back leaves the rest to the
others, as TCP does. Rates are bytes a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.engine import Engine, Timer

if TYPE_CHECKING:
    from transfers.scheduler.types import Assignment

HOP_MS = 2.0  # how long a forwarded byte stays in a node that is still receiving the shard


class Endpoint:
    """One direction of one machine's network card, or one reader's stream from the bucket (no capacity: unlimited)."""

    __slots__ = ("capacity", "flows", "moved")

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.flows: dict[Flow, None] = {}
        self.moved = 0.0


class Flow:
    """One transfer's bytes. `size` is what it has to move; `outcome` is told once, by `on_end(flow, why)`.

    why: "" when every byte arrived. upstream: the flow that brings the same shard to the sender (cut-through).
    """

    __slots__ = (
        "assignment",
        "began",
        "done",
        "ends",
        "granted",
        "on_end",
        "rate",
        "receiver",
        "sender",
        "size",
        "stalled",
        "timer",
        "updated",
        "upstream",
        "waiting",
        "watchers",
    )

    def __init__(
        self,
        assignment: Assignment,
        sender: str,
        receiver: str,
        size: float,
        ends: tuple[Endpoint, ...],
        on_end: Callable[[Flow, str], None],
    ) -> None:
        self.assignment = assignment
        self.sender = sender
        self.receiver = receiver
        self.size = size
        self.ends = ends
        self.on_end = on_end
        self.granted = 0.0
        self.rate = 0.0
        self.done = 0.0
        self.began = 0.0
        self.updated = 0.0
        self.timer: Timer | None = None
        self.stalled = False
        self.upstream: Flow | None = None
        self.waiting = False
        self.watchers: list[Flow] = []


class Network:
    """Keeps the rates of all flows right as flows begin, end, stall, and machines change their speed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.active: dict[Flow, None] = {}

    def start(self, flow: Flow) -> None:
        flow.began = flow.updated = self.engine.now
        self.active[flow] = None
        for end in flow.ends:
            end.flows[flow] = None
        if flow.upstream is not None:
            flow.upstream.watchers.append(flow)
        self._share(flow.ends)

    def stop(self, flow: Flow, why: str) -> None:
        """End a flow before its time. Who forwards it while it arrives loses it as well."""
        if flow in self.active:
            self._end(flow, why)

    def stall(self, flow: Flow) -> None:
        """No byte of this flow moves any more, and nobody is told."""
        if flow in self.active and not flow.stalled:
            flow.stalled = True
            self._share(flow.ends)

    def set_capacity(self, end: Endpoint, capacity: float) -> None:
        end.capacity = capacity
        self._share((end,))

    def progress(self, flow: Flow) -> float:
        """Bytes that arrived so far: of a forwarded shard, never more than the forwarder has."""
        self._advance(flow)
        return flow.done if flow.upstream is None else min(flow.done, self.progress(flow.upstream))

    def left_ms(self, flow: Flow) -> float:
        """How long the flow still takes if nothing changes."""
        self._advance(flow)
        return (flow.size - flow.done) / flow.rate if flow.rate > 0 else float("inf")

    def _advance(self, flow: Flow) -> None:
        now = self.engine.now
        if now > flow.updated:
            moved = min(flow.size - flow.done, flow.rate * (now - flow.updated))
            flow.done += moved
            flow.updated = now
            for end in flow.ends:
                end.moved += moved

    def _end(self, flow: Flow, why: str) -> None:
        flow.done = self.progress(flow)
        del self.active[flow]
        if flow.timer is not None:
            flow.timer.cancel()
        for end in flow.ends:
            del end.flows[flow]
        if flow.upstream is not None and flow in flow.upstream.watchers:
            flow.upstream.watchers.remove(flow)
        self._share(flow.ends)
        watchers, flow.watchers = flow.watchers, []
        for watcher in watchers:
            watcher.upstream = None
            if why:
                self._advance(watcher)
                watcher.done = min(watcher.done, flow.done)
                watcher.stalled = True
                self.engine.after(HOP_MS, self.stop, watcher, "short")
            elif watcher.waiting:
                self.engine.after(HOP_MS, self._arrived, watcher)
        flow.on_end(flow, why)

    def _arrived(self, flow: Flow) -> None:
        if flow not in self.active or flow.stalled:
            return
        if flow.upstream is not None:  # caught up with a sender that is itself still receiving
            self._advance(flow)
            flow.waiting = True
            return
        flow.done = max(flow.done, flow.size)
        self._end(flow, "")

    def _share(self, changed: tuple[Endpoint, ...]) -> None:
        """Share anew at the ends that changed, and at the far ends of their flows, which feel it too."""
        touched: dict[Endpoint, None] = dict.fromkeys(changed)
        for end in changed:
            for flow in end.flows:
                for other in flow.ends:
                    touched[other] = None
        flows: dict[Flow, None] = {}
        for end in touched:
            for flow in end.flows:
                flows[flow] = None
        for flow in flows:
            self._set_rate(flow, min(fair_share(end, flow) for end in flow.ends))

    def _set_rate(self, flow: Flow, rate: float) -> None:
        if flow.stalled:
            rate = 0.0
        if flow.waiting or (flow.timer is not None and abs(rate - flow.rate) < 1e-12):
            return
        self._advance(flow)
        flow.rate = rate
        if flow.timer is not None:
            flow.timer.cancel()
        left = flow.size - flow.done
        flow.timer = self.engine.after(left / rate, self._arrived, flow) if rate > 0 else None


def fair_share(end: Endpoint, flow: Flow) -> float:
    """What `end` can give to `flow`: an even share, plus what flows that are held back elsewhere leave over."""
    count = len(end.flows)
    if count == 1:
        return end.capacity
    limits = []
    for other in end.flows:
        limit = (
            0.0
            if other.stalled
            else min((far.capacity / len(far.flows) for far in other.ends if far is not end), default=end.capacity)
        )
        limits.append((limit, other is flow))
    limits.sort()
    left = end.capacity
    for i, (limit, ours) in enumerate(limits):
        share = left / (count - i)
        if ours:
            return share
        left -= min(limit, share)
    return left
