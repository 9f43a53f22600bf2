"""Play a job's log of decisions again: python -m tests.simulation.replay LOG [--picture run.svg]

LOG has the lines that `manage.py explain JOB --json` prints. State is rebuilt from the log alone, and each decision is
held against it: had the source the shard, and was there a rarer one that it could have given?
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.ledger import Moved
from tests.simulation.picture import draw_moves
from transfers.scheduler.decisions import Decision, Ended, Granted, Waited
from transfers.scheduler.types import GCS


@dataclass
class Replay:
    """What a log says. wrong: decisions that cannot have been right. rarest: of those from peers, the ones that gave
    what was held least of all that the source could give and the receiver needed."""

    granted: int = 0
    from_bucket: int = 0
    brought: int = 0
    rarest: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    moves: list[Moved] = field(default_factory=list)


def replay(decisions: Iterable[Decision]) -> Replay:
    """Everything that a whole log tells, from its first decision on."""
    out = Replay()
    held: dict[str, set[int]] = defaultdict(set)
    coming: dict[str, set[int]] = defaultdict(set)
    copies: Counter[int] = Counter()
    leases: dict[str, Granted] = {}
    start: int | None = None
    for one in decisions:
        start = one.at if start is None else start
        if isinstance(one, Waited):
            out.waits["sources" if not one.idle else "shards"] += 1
        elif isinstance(one, Granted):
            out.granted += 1
            out.reasons[one.why] += 1
            out.from_bucket += one.source == GCS
            out.moves.append(Moved(one.at - start, "", one.shard, one.node, one.source))
            if one.shard in held[one.node] and one.why != "confirm":
                out.wrong.append(f"{one}: it had it")
            if one.source != GCS and one.why != "cut_through":
                _judge(one, held, coming, copies, out)
            leases[one.lease] = one
            coming[one.node].add(one.shard)
        elif isinstance(one, Ended) and (granted := leases.pop(one.lease, None)) is not None:
            coming[granted.node].discard(granted.shard)
            if one.brought and granted.shard not in held[granted.node]:
                out.brought += 1
                held[granted.node].add(granted.shard)
                copies[granted.shard] += 1
    return out


def _judge(
    one: Granted, held: dict[str, set[int]], coming: dict[str, set[int]], copies: Counter[int], out: Replay
) -> None:
    if one.shard not in held[one.source]:
        out.wrong.append(f"{one}: the source did not have it")
        return
    could = held[one.source] - held[one.node] - coming[one.node]
    out.rarest += copies[one.shard] == min((copies[shard] for shard in could), default=copies[one.shard])


def read(lines: Iterable[str]) -> list[Decision]:
    kinds: dict[str, type[Decision]] = {"granted": Granted, "waited": Waited, "ended": Ended}
    decisions: list[Decision] = []
    for line in lines:
        fields = json.loads(line)
        decisions.append(kinds[fields.pop("kind")](**fields))
    return decisions


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.replay", description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--picture", type=Path, help="write an SVG of the transfers here")
    args = parser.parse_args()
    found = replay(read(args.log.read_text().splitlines()))
    peers = found.granted - found.from_bucket
    print(f"{found.granted} transfers given, {found.from_bucket} from the bucket; {found.brought} shards brought")
    print(f"the rarest that the source could give: {found.rarest / max(1, peers):.1%} of those from nodes")
    print("why: " + ", ".join(f"{why} {n}" for why, n in found.reasons.most_common()))
    print("waits: " + ", ".join(f"for {what} {n}" for what, n in found.waits.most_common()))
    for line in found.wrong[:20]:
        print("WRONG " + line)
    if args.picture:
        draw_moves(found.moves, args.picture)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
