"""How many completed shards a second the recorder folds into the record, from a real scheduler's event stream.

    python -m tests.bench.recorder                        SQLite
    python -m tests.bench.recorder --database postgresql
    python -m tests.bench.recorder --profile              where the time goes

A fleet that moves no bytes plays a job through the scheduler's scripts; then the recorder's own step reads what that
left in the stream, in the batches in which it would.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from typing import Any

from tests.bench.site import site

SLOTS = 8
KEY = "fdk_bench"
SHARD = 64 * 2**20


def play(links: Any, nodes: int, shards: int) -> int:
    """Runs one job to its end in the scheduler; gives the number of transfers."""
    from nodes.models import digest_of
    from transfers.planning import JobRequest, Listing, NodeFacts, SourceObject, parse_source, plan_job
    from transfers.publishing import publish
    from transfers.scheduler.types import NodeInfo, Report
    from transfers.submission import record

    scheduler = links.scheduler
    scheduler.set_enrolment_keys([digest_of(KEY)])
    names = [f"bench-{number:05d}" for number in range(nodes)]
    epochs = {}
    for name in names:
        info = NodeInfo(name, "127.0.0.1:1", "ab" * 16, upload_slots=SLOTS, download_slots=SLOTS, gcs_slots=SLOTS)
        epochs[name] = scheduler.register(info, KEY).epoch
    _recorded(names, links.cell)
    uri = parse_source("gs://bench/model/")
    listing = Listing(uri, [SourceObject("bench", "model/weights", 1, shards * SHARD, 1)])
    request = JobRequest.from_dict({"source": str(uri), "shard_size": SHARD, "gcs_slots": 64})
    job = record(plan_job(request, listing, [NodeFacts(name) for name in names]), links.cell)
    publish(job, links)
    for name in names:
        scheduler.announce(job.id.hex, name, epochs[name], {})
    moved, reports = 0, {name: [] for name in names}
    while True:
        before = moved
        for name in names:
            reply = scheduler.next(name, epochs[name], reports[name], want=SLOTS)
            work = [*reply.assignments, *scheduler.unpark(name, epochs[name])]
            reports[name] = [Report(a.lease, "ok", crc32c=a.shard + 1, bytes=SHARD, ms=500) for a in work]
            moved += len(work)
            if job.id.hex in reply.finished:
                scheduler.finish(job.id.hex, name, epochs[name])
        if moved == before:
            return moved


def _recorded(names: list[str], cell: str) -> None:
    from nodes.models import Node

    Node.objects.bulk_create([Node(cell=cell, name=name) for name in names])


def fold_all(links: Any) -> tuple[float, float]:
    """Seconds until the recorder has read the stream to its end, and those of a processor that this process took."""
    from transfers.coordinator.parts import Recorder
    from transfers.recorder import position

    part, (_, last) = Recorder(links), links.scheduler.stream_bounds()
    began, worked = time.perf_counter(), time.process_time()
    while position(links.cell) != last:
        part.step()
    return time.perf_counter() - began, time.process_time() - worked


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recorder", description=__doc__.split("\n")[0])
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or an address")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    with site(args.database):
        from transfers.links import get_links
        from transfers.models import Job, JobState, Transfer

        links = get_links()
        moved = play(links, args.nodes, args.shards)
        print(
            f"{moved:,} transfers to {args.nodes:,} nodes, {links.redis.xlen('{fdist:main}:events'):,} stream entries"
        )
        profile = cProfile.Profile()
        seconds, worked = profile.runcall(fold_all, links) if args.profile else fold_all(links)
        recorded = Transfer.objects.filter(outcome="done").count()
        assert recorded == moved, f"{recorded:,} transfers are in the record, {moved:,} were done"
        assert Job.objects.get().state == JobState.COMPLETE
        print(
            f"{args.database.split(':')[0]}: {recorded / seconds:,.0f} completed shards a second ({seconds:.1f} s,"
            f" of which {worked:.1f} s in this process)"
        )
        if args.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
