"""How near the scheduler comes to its bounds, in virtual time: python -m tests.bench.scheduling --scale 0.2

Prints two tables in Markdown, those of docs/scheduling.md: the goals, each scenario played once against the real
scheduler; and what each policy makes of the same fleets. The same seed gives the same figures on every machine.
"""

from __future__ import annotations

import argparse
import dataclasses

from fdist_site.local.redis_server import RedisServer
from tests.own_redis import own_redis
from tests.simulation.__main__ import play
from tests.simulation.model import Scenario
from tests.simulation.report import Figures
from tests.simulation.scenarios import make

GOALS = (
    "one-reader",
    "slow-bucket",
    "even",
    "slow-tenth",
    "slow-for-a-while",
    "churn",
    "flush",
    "no-overhead",
    "overhead",
    "pipeline",
    "pipeline-slow",
)
SMALL = ("one-reader", "slow-bucket", "flush", "no-overhead", "overhead", "pipeline", "pipeline-slow", "churn")
POLICIES = ("rarest-first", "random", "sequential", "peers-first")
COMPARED = ("one-reader", "even", "slow-bucket")


def with_policy(scenario: Scenario, policy: str) -> Scenario:
    jobs = tuple(dataclasses.replace(j, spec=dataclasses.replace(j.spec, policy=policy)) for j in scenario.jobs)
    return dataclasses.replace(scenario, jobs=jobs)


def ratio(result: Figures) -> str:
    return f"{result.ratio:.3f}" if result.sound else "not sound" if result.broken else "not in time"


def goals(server: RedisServer, scale: float, seed: int, scenarios: list[str]) -> None:
    print("| scenario | nodes | shards | last / bound | goal | bucket bytes / payload | attempts / assignment |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in [name for name in GOALS if name in scenarios]:
        _, r = play(server, make(name, seed, 1.0 if name in SMALL else scale), seed)
        goal = f"{r.goal:.2f}" if r.goal else ""
        print(
            f"| {name} | {r.nodes} | {r.shards} | {ratio(r)} | {goal} | {r.amplification:.3f} "
            f"| {r.attempts_per_assignment or 0:.2f} |",
            flush=True,
        )


def policies(server: RedisServer, scale: float, seed: int, scenarios: list[str]) -> None:
    print(f"| last / bound | {' | '.join(POLICIES)} |")
    print("| --- |" + " ---: |" * len(POLICIES))
    for name in [name for name in COMPARED if name in scenarios]:
        scenario = make(name, seed, min(scale, 0.1) if name == "even" else 1.0)
        row = [ratio(play(server, with_policy(scenario, policy), seed)[1]) for policy in POLICIES]
        print(f"| {name} | {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduling", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.2, help="share of the fleets of 1,000 nodes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenarios", nargs="+", choices=GOALS, default=GOALS, metavar="NAME", help="only these")
    args = parser.parse_args()
    with own_redis() as server:
        goals(server, args.scale, args.seed, args.scenarios)
        print()
        policies(server, args.scale, args.seed, args.scenarios)


if __name__ == "__main__":
    main()
