"""Measure fdist in a fleet of network namespaces, beside what people would use in its place.

    .venv/bin/python -m tests.bench.fleet even8 even16 slow-origin slow-node killed unplugged loopback memory

Needs root and Debian's iproute2; nginx, curl and socat for the methods of these names, the package libtorrent for
BitTorrent. What cannot run is left out, and the table says why. Figures are only as good as the machine is quiet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from fdist_site.local.fleet import NodeOptions
from fdist_site.local.processes import terminate_as_interrupt
from tests.bench.fleet import loopback, memory, plain, report, torrent
from tests.bench.fleet.namespaces import why_not
from tests.bench.fleet.ours import Ours
from tests.bench.fleet.rig import Rig, memory_directory
from tests.bench.fleet.scenario import Result, Scenario, Skipped
from tests.bench.fleet.scenarios import ALL, NAMES, Bench, shaped
from transfers.planning.request import DEFAULT_GCS_SLOTS
from transfers.words import parse_rate

Method = Callable[[Scenario], Result]
UNSHAPED = {"loopback": loopback.main, "memory": memory.main}


def main() -> int:
    options = _parser().parse_args()
    if set(options.scenario) - set(UNSHAPED) and (reason := why_not()):
        print(f"no fleet can be built here: {reason}", file=sys.stderr)
        return 1
    benches = [shaped(name, options.size * 10**6, options.rate) for name in options.scenario if name not in UNSHAPED]
    with terminate_as_interrupt():
        for nodes in sorted({bench.scenario.nodes for bench in benches}):
            with memory_directory("fdist-fleet-") as root, Rig(root, nodes, options.size * 10**6) as rig:
                _play(rig, [bench for bench in benches if bench.scenario.nodes == nodes], options)
        for name in options.scenario:
            if name in UNSHAPED:
                UNSHAPED[name]()
    return 0


def _play(rig: Rig, benches: Sequence[Bench], options: argparse.Namespace) -> None:
    """The scenarios of one fleet; the methods that need no agents first, while there are none."""
    share = rig.measure_share(options.rate)
    wanted = set(options.methods or ALL)
    job = {"gcs_slots": options.gcs_slots} | ({"shard_size": options.shard_size} if options.shard_size else {})
    runs: dict[tuple[str, str], list[Result] | Skipped] = {}
    for bench in benches:
        for method in [each for each in bench.methods if each in wanted]:
            if each := OTHERS.get(method):
                why, run = each
                runs[bench.scenario.name, method] = (
                    Skipped(method, reason)
                    if (reason := why())
                    else [run(rig, bench.scenario) for _ in range(1 if method == "download" else options.repeat)]
                )
    with ExitStack() as stack:
        if wanted & set(OURS):
            slots = {"upload_slots": options.slots, "download_slots": options.slots} if options.slots else {}
            ours = stack.enter_context(Ours(rig, NodeOptions(**slots), options.trace))
        for bench in benches:
            report.heading(bench.scenario, share, bench.goals)
            for method in [each for each in bench.methods if each in wanted]:
                if method in OURS:
                    done = [ours.run(bench.scenario, method, **job) for _ in range(options.repeat)]
                else:
                    kept = runs[bench.scenario.name, method]
                    if isinstance(kept, Skipped):
                        report.skipped(kept)
                        continue
                    done = kept
                report.row(bench.scenario, share, done)


OURS = ("mesh", "pipeline")
OTHERS: dict[str, tuple[Callable[[], str], Callable[[Rig, Scenario], Result]]] = {
    "libtorrent": (torrent.why_not, torrent.run),
    "download": (lambda: plain.missing("nginx", "curl"), plain.run_download),
    "chain": (lambda: plain.missing("socat"), plain.run_chain),
}


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:12s} {what}" for name, what in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.fleet",
        description=f"{__doc__}\nscenarios:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="*", default=["even8"], choices=list(NAMES), metavar="SCENARIO")
    parser.add_argument("--size", type=int, default=256, help="of the payload, in MB (default: %(default)s)")
    parser.add_argument("--rate", type=parse_rate, default="100mbit", help="of each link (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each method, but for the plain download")
    parser.add_argument("--methods", nargs="+", choices=ALL, help="only these")
    parser.add_argument(
        "--gcs-slots",
        type=int,
        default=DEFAULT_GCS_SLOTS,
        help="reads from the bucket at once (default: %(default)s, as of a job)",
    )
    parser.add_argument("--slots", type=int, help="upload and download slots of a node; its defaults unless given")
    parser.add_argument("--shard-size", type=int, help="bytes; chosen by the plan unless given")
    parser.add_argument("--trace", type=Path, help="a folder in which the events of each of our runs are written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
