"""Run scenarios: python -m tests.simulation even --scale 0.1 --seed 1 --seeds 3 --picture run.svg"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import redis

from fdist_site.local.redis_server import RedisServer
from tests.own_redis import own_redis
from tests.simulation.again import Recorder, once_more
from tests.simulation.model import Scenario
from tests.simulation.picture import draw
from tests.simulation.report import Figures, figures, text
from tests.simulation.scenarios import SCENARIOS, build, fleet, make
from tests.simulation.world import World
from transfers.scheduler import Scheduler
from transfers.scheduler.keys import Keys
from transfers.scheduler.scripts import library


def parse() -> argparse.Namespace:
    known = "\n".join(f"  {name:18} {(maker.__doc__ or '').splitlines()[0]}" for name, maker in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        epilog=f"scenarios:\n{known}",
        description=(
            "Play a fleet in virtual time against the real scheduler in a real Redis-compatible server, and print "
            "makespan, lower bound, costs and idle slots. The same seed gives the same run."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="+", choices=[*SCENARIOS, "all"], metavar="SCENARIO")
    parser.add_argument("--seed", type=int, default=1, help="first seed (default 1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to run (default 1)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the scenario's nodes and shards")
    parser.add_argument("--nodes", type=int, help="this many nodes instead (mesh and chain alike, no faults)")
    parser.add_argument("--shards", type=int, help="this many shards instead; with --nodes")
    parser.add_argument("--policy", help="a scheduling policy by name, for the first job")
    parser.add_argument("--check", type=float, metavar="MS", help="check the invariants so often (0: at every event)")
    parser.add_argument("--limit", type=float, metavar="MS", help="give up at this virtual time")
    parser.add_argument("--apart", action="store_true", help="bucket reads do not share the node's download rate")
    parser.add_argument(
        "--busy",
        action="store_true",
        help="make the same calls again on a second server, without a pause: the cost where it never sleeps",
    )
    parser.add_argument("--picture", type=Path, help="write an SVG of the last run here")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON lines")
    return parser.parse_args()


def resized(scenario: Scenario, nodes: int, shards: int | None) -> Scenario:
    """The scenario's kind of nodes and job in another number, without its faults."""
    spec = dataclasses.asdict(scenario.jobs[0].spec)
    count = shards or spec["shard_count"]
    for field in ("job", "shard_count", "size"):
        del spec[field]
    first = scenario.nodes[0]
    some = fleet(nodes, upload_slots=first.upload_slots, download_slots=first.download_slots, gcs_slots=first.gcs_slots)
    made = build(some, count, goal=scenario.goal, options=scenario.options, **spec)
    return dataclasses.replace(made, name=scenario.name)


def arranged(name: str, seed: int, args: argparse.Namespace) -> Scenario:
    """The scenario as the command line wants it."""
    scenario = make(name, seed, args.scale)
    if args.nodes:
        scenario = resized(scenario, args.nodes, args.shards)
    options = {"trace": args.picture is not None, "shared_card": not args.apart}
    if args.check is not None:
        options["check_ms"] = args.check
    if args.limit is not None:
        options["limit_ms"] = args.limit
    jobs = scenario.jobs
    if args.policy:
        jobs = (dataclasses.replace(jobs[0], spec=dataclasses.replace(jobs[0].spec, policy=args.policy)), *jobs[1:])
    return dataclasses.replace(scenario, jobs=jobs, options=dataclasses.replace(scenario.options, **options))


def play(server: RedisServer, scenario: Scenario, seed: int) -> tuple[World, Figures]:
    """One run on an emptied server."""
    with server.client() as client:
        return played(client, scenario, seed)


def played(client: redis.Redis, scenario: Scenario, seed: int) -> tuple[World, Figures]:
    """One run, through this client."""
    client.flushall()
    world = World(client, scenario, seed)
    world.run()
    return world, figures(world, seed)


def play_busy(server: RedisServer, scenario: Scenario, seed: int) -> tuple[World, Figures]:
    """One run on an emptied server, and the same calls again, without a pause, on a new one.

    Raises redis.ResponseError where the server offers no functions.
    """
    with (
        server.client() as client,
        own_redis() as other,
        other.client() as busy,
        tempfile.TemporaryFile() as file,
    ):
        for each in (client, busy):
            each.function_load(library(), replace=True)
        recorder = Recorder(client.connection_pool, file)
        world, result = played(recorder, scenario, seed)
        us = once_more(busy, recorder)
        first, again = traces(client), traces(busy)
    if first != again:
        wrong = f"the calls left {first} at first, and made again {again}: what they cost cannot be compared"
        return world, dataclasses.replace(result, broken=wrong)
    return world, dataclasses.replace(result, busy_us_per_assignment=us / max(1, result.assignments))


def traces(client: redis.Redis) -> tuple[Any, ...]:
    """What differs where the calls to the scheduler differed: the sum of all their seeds, and what they assigned."""
    return client.get(Keys("main")("stamp")), Scheduler(client).overview()


def main() -> int:
    args = parse()
    names = list(SCENARIOS) if "all" in args.scenario else args.scenario
    sound = True
    with own_redis() as server:
        for name in names:
            for seed in range(args.seed, args.seed + args.seeds):
                world, result = (play_busy if args.busy else play)(server, arranged(name, seed, args), seed)
                sound &= result.sound
                print(json.dumps(dataclasses.asdict(result)) if args.json else text(result), flush=True)
                if args.picture is not None:
                    draw(world, args.picture)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
