"""BitTorrent by libtorrent: the origin seeds, every node connects to every other, as with a private tracker."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

from tests.bench.fleet.rig import Rig, cpu_seconds
from tests.bench.fleet.scenario import Result, Scenario
from tests.bench.fleet.watch import Watch

METHOD = "libtorrent"
PORT = 6881
PIECE_SIZE = 64 * 1024
TIMEOUT = 300.0
MODULE = [sys.executable, "-m", "tests.bench.fleet.torrent_node"]


def why_not() -> str:
    if importlib.util.find_spec("libtorrent") is None:
        return "the package libtorrent is missing (uv pip install libtorrent)"
    return ""


class Peer:
    """A process of torrent_node."""

    def __init__(self, prefix: list[str], arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [*prefix, *MODULE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.done = math.nan

    def read(self) -> str:
        return self.process.stdout.readline() if self.process.stdout else ""

    def begin(self) -> None:
        if self.process.stdin:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()

    def wait(self) -> None:
        words = self.read().split()
        if words[:1] == ["done"]:
            self.done = float(words[1])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def make_torrent(payload: Path, target: Path, piece_size: int) -> None:
    import libtorrent

    storage = libtorrent.file_storage()
    libtorrent.add_files(storage, str(payload))
    torrent = libtorrent.create_torrent(storage, piece_size)
    libtorrent.set_piece_hashes(torrent, str(payload.parent))
    target.write_bytes(libtorrent.bencode(torrent.generate()))


def swarm(
    stack: ExitStack, rig: Rig, folders: list[Path], piece_size: int, settings: list[str]
) -> tuple[Peer, list[Peer]]:
    """The origin and the nodes, all ready; their processes end with `stack`."""
    torrent = rig.root / "payload.torrent"
    if not torrent.exists():
        make_torrent(rig.payload, torrent, piece_size)
    addresses = [f"{rig.net.address(host)}:{PORT}" for host in range(rig.nodes + 1)]
    made = []
    for host in [rig.origin, *range(rig.nodes)]:
        folder = rig.payload.parent if host == rig.origin else folders[host]
        others = ",".join(addresses[host + 1 :])  # each pair is connected by one of its ends
        arguments = [str(torrent), str(folder), rig.net.address(host), str(PORT), others]
        arguments += [part for each in settings for part in ("--set", each)]
        peer = Peer(rig.net.prefix(host), [*arguments, *(["--seed"] if host == rig.origin else [])])
        stack.callback(peer.end)
        made.append(peer)
    for peer in made:
        if peer.read().strip() != "ready":
            raise RuntimeError("a BitTorrent peer did not start")
    return made[0], made[1:]


def run(rig: Rig, scenario: Scenario, piece_size: int = PIECE_SIZE, settings: list[str] | None = None) -> Result:
    rig.shape(scenario)
    with rig.folders("torrent") as folders, ExitStack() as stack:
        seed, peers = swarm(stack, rig, folders, piece_size, settings or [])
        victim = peers[-1]
        faults = {"": None, "kill": victim.process.kill, "cut": lambda: rig.net.cut(scenario.nodes - 1)}
        wire = scenario.size * scenario.nodes / rig.share
        before = [cpu_seconds(peer.process.pid) for peer in peers]
        sent = rig.net.sent(rig.origin)
        with Watch(rig.net, list(range(scenario.nodes)), wire, scenario.rate, faults[scenario.fault]) as watch:
            begun = time.monotonic()
            for peer in [seed, *peers]:
                peer.begin()
            waits = [Thread(target=peers[node].wait, daemon=True) for node in scenario.judged]
            for thread in waits:
                thread.start()
            for thread in waits:
                thread.join(max(begun + TIMEOUT - time.monotonic(), 0))
        copies = (rig.net.sent(rig.origin) - sent) / scenario.size
        cpu = sum(cpu_seconds(peer.process.pid) - spent for peer, spent in zip(peers, before, strict=True))
        if scenario.fault == "cut":
            rig.net.join(scenario.nodes - 1)
        seconds = {node: peer.done - begun for node, peer in enumerate(peers) if not math.isnan(peer.done)}
        return Result(METHOD, seconds, copies, cpu, watch.longest_pause)
