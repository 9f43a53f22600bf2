"""Things that go wrong, each armed on a world before it runs. All chance comes from the world's seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.agent import Agent
    from tests.simulation.world import World

SNAPSHOT_DB = 9


class Fault:
    """Something that will go wrong. will_return: whether a node that is down now will be back."""

    def arm(self, world: World) -> None:
        raise NotImplementedError

    def will_return(self, node: str) -> bool:
        return False


@dataclass
class Death(Fault):
    """A node loses power at `at`; back: when it starts again with its disk as it was (None: never).

    vanish: connections are not reset, bytes only stop.
    """

    node: str
    at: float
    back: float | None = None
    vanish: bool = False
    _pending: bool = field(default=True, repr=False)

    def arm(self, world: World) -> None:
        agent = world.agents[self.node]
        world.engine.at(self.at, self._die, agent)
        if self.back is not None:
            world.engine.at(self.back, self._return, agent)

    def _die(self, agent: Agent) -> None:
        if agent.alive:
            agent.world.ledger.count["deaths"] += 1
            agent.die(self.vanish)
        if self.back is None:
            agent.world.node_done(agent)  # it may have been the last that the run waited for

    def _return(self, agent: Agent) -> None:
        self._pending = False
        if not agent.alive:
            agent.start()

    def will_return(self, node: str) -> bool:
        return node == self.node and self.back is not None and self._pending


@dataclass
class Freeze(Fault):
    """A node's processes stop for a while, and go on as if nothing had been."""

    node: str
    at: float
    duration: float

    def arm(self, world: World) -> None:
        world.engine.at(self.at, world.agents[self.node].freeze, self.duration)


@dataclass
class SlowDown(Fault):
    """A node's card runs at `factor` of its rate from `at` for `duration` (None: for good)."""

    node: str
    at: float
    factor: float = 0.1
    duration: float | None = None

    def arm(self, world: World) -> None:
        world.engine.at(self.at, self._set, world, self.factor)
        if self.duration is not None:
            world.engine.at(self.at + self.duration, self._set, world, 1.0)

    def _set(self, world: World, factor: float) -> None:
        agent, card = world.agents[self.node], world.options.card
        world.network.set_capacity(agent.up, agent.spec.up * card * factor)
        world.network.set_capacity(agent.down, agent.spec.down * card * factor)


@dataclass
class Stalls(Fault):
    """Each transfer stops for good with this chance, somewhere on its way; looked at every `every` ms."""

    chance: float
    every: float = 250.0

    def arm(self, world: World) -> None:
        def look() -> None:
            for flow in list(world.network.active):
                if not flow.stalled and world.seeds.faults.random() < self.chance * self.every / world.options.shard_ms:
                    world.ledger.count["stalls"] += 1
                    world.stall(flow)

        world.engine.every(self.every, look)


@dataclass
class Corrupting(Fault):
    """A node damages what it sends, each shard with this chance. node "": what is read from the bucket."""

    node: str
    chance: float = 1.0

    def arm(self, world: World) -> None:
        if self.node:
            world.lying[self.node] = self.chance
        else:
            world.bucket_lies = self.chance


@dataclass
class Messages(Fault):
    """Calls to the scheduler get lost (before or after they ran), run twice, or come late."""

    lost: float = 0.0
    repeated: float = 0.0
    late: float = 0.0
    late_ms: float = 400.0

    def arm(self, world: World) -> None:
        dice = world.seeds.faults

        def disturb(agent: Agent, op: str) -> tuple[str, float]:
            throw = dice.random()
            if throw < self.lost:
                return ("lost_request" if dice.random() < 0.5 else "lost_reply"), 0.0
            throw -= self.lost
            if throw < self.repeated:
                return "repeat", 0.0
            throw -= self.repeated
            return "ok", (dice.uniform(0, self.late_ms) if throw < self.late else 0.0)

        world.disturb = disturb


@dataclass
class Flush(Fault):
    """Redis loses everything; the coordinator notices and writes the jobs again `rebuilt` ms later."""

    at: float
    rebuilt: float = 500.0

    def arm(self, world: World) -> None:
        world.engine.at(self.at, self._flush, world)

    def _flush(self, world: World) -> None:
        world.ledger.flushed()
        world.forget_indexes()
        world.client.flushdb()
        world.engine.after(self.rebuilt, world.rebuild)


@dataclass
class LostSecond(Fault):
    """Redis comes back as it was `lost` ms before: what an append-only file synced every second can lose."""

    at: float
    lost: float = 1000.0

    def arm(self, world: World) -> None:
        world.engine.at(max(0.0, self.at - self.lost), self._snapshot, world)
        world.engine.at(self.at, self._restore, world)

    def _snapshot(self, world: World) -> None:
        client = world.client
        for key in client.scan_iter(count=1000):
            client.copy(key, key, destination_db=SNAPSHOT_DB, replace=True)

    def _restore(self, world: World) -> None:
        world.ledger.flushed()
        world.forget_indexes()
        world.client.flushdb()
        world.client.swapdb(0, SNAPSHOT_DB)
