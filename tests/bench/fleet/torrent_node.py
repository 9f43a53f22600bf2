"""One BitTorrent peer, in a process of its own: libtorrent with a torrent, a folder and the addresses of the others.

    python -m tests.bench.fleet.torrent_node TORRENT FOLDER ADDRESS PORT PEERS [--seed]

It prints "ready", begins at the first line of its standard input, prints "done <monotonic seconds>" when it has
everything, and serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

import libtorrent

LOOK_SECONDS = 0.02

# Found by trying, in this fleet; each line is what gave less time or fewer copies out of the origin than its default.
SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": 0,
    "connection_speed": 500,
    "torrent_connect_boost": 100,
    "unchoke_slots_limit": 20,
    "unchoke_interval": 2,
    "optimistic_unchoke_interval": 4,
    "peer_timeout": 30,
    "close_redundant_connections": False,
    "request_queue_time": 1,
    "max_out_request_queue": 32,
    "whole_pieces_threshold": 1,
    "mixed_mode_algorithm": 0,
    "send_buffer_watermark": 128 * 1024,
    "send_buffer_low_watermark": 32 * 1024,
    "send_buffer_watermark_factor": 100,
    "seeding_piece_quota": 1,
    "suggest_mode": 0,
    "predictive_piece_announce": 0,
    "hashing_threads": 1,
    "aio_threads": 2,
    "user_agent": "fleet-bench",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("torrent")
    parser.add_argument("folder")
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("peers", help="host:port,host:port")
    parser.add_argument("--seed", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="NAME=NUMBER: a setting of libtorrent")
    options = parser.parse_args()
    own = {name: int(value) for name, value in (pair.split("=", 1) for pair in options.set)}
    session = libtorrent.session({**SETTINGS, **own, "listen_interfaces": f"{options.address}:{options.port}"})
    added = libtorrent.add_torrent_params()
    added.ti = libtorrent.torrent_info(options.torrent)
    added.save_path = options.folder
    added.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
    if options.seed:
        added.flags |= libtorrent.torrent_flags.seed_mode
    handle = None
    if options.seed:
        handle = session.add_torrent(added)
    print("ready", flush=True)
    sys.stdin.readline()
    if handle is None:
        handle = session.add_torrent(added)
    for peer in filter(None, options.peers.split(",")):
        host, _, port = peer.rpartition(":")
        handle.connect_peer((host, int(port)))
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not handle.status().is_seeding and not ended.wait(LOOK_SECONDS):
        pass
    print(f"done {time.monotonic()}", flush=True)
    ended.wait()


if __name__ == "__main__":
    main()
