"""The shard server: a process of its own beside the agent, so that serving never waits for whoever receives.

    python -m transfers.dataplane.server --data-dir DIR [--host H] [--port P] [--rate BITS] [--max-uploads K]

The first line of its standard input is the node's ticket key, with --tls the second its key and certificate (PEM, in
base64). Then it prints "ready <port>" and obeys lines:

    rate N        cap all sending at N bit/s from now on; 0 lifts the cap
    uploads K     transfers that may run at once
    tls PEM       the key and certificate for new connections, in base64
    clock MS      the scheduler's clock minus this machine's, in ms: tickets end by the scheduler's
    stats         prints one line of JSON: bytes sent, requests, refusals, running transfers, connections

It prints "unreadable <job> <shard>" when the disk no longer gives the bytes of a shard that was verified.

It ends when its standard input does, and so never outlives the agent.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from transfers.dataplane.serving import ShardServer
from transfers.logs import FORMATTERS, log_to_stderr

log = logging.getLogger(__name__)

_THREAD_STACK = 512 * 1024  # hundreds of idle connections should not reserve 8 MiB each


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    log_to_stderr(options.log_level.upper(), options.log_format)
    # The terminal's Ctrl-C reaches the whole group; this process ends when the agent closes its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.stack_size(_THREAD_STACK)
    key = sys.stdin.readline().strip()
    if not key:
        log.error("no ticket key came on the standard input")
        return 2
    identity = _identity(sys.stdin.readline()) if options.tls else ""
    if options.tls and not identity:
        log.error("no key and certificate came on the standard input")
        return 2
    try:
        server = ShardServer(
            options.data_dir,
            key,
            host=options.host,
            port=options.port,
            rate_bits=options.rate,
            max_uploads=options.max_uploads,
            stall_after=options.stall_after,
            node=options.node,
            identity=identity,
            unreadable=lambda job, shard: _say(f"unreadable {job} {shard}"),
        )
    except OSError as error:
        log.error("cannot listen on %s port %s: %s", options.host, options.port, error)
        return 1
    server.start()
    _say(f"ready {server.port}")
    for line in sys.stdin:
        _obey(server, line.split())
    return 0


def _obey(server: ShardServer, words: list[str]) -> None:
    match words:
        case ["stats"]:
            _say(json.dumps(server.counters.as_dict() | {"rate": server.limiter.rate_bits or 0}))
        case ["rate", number] if number.isdigit():
            server.limiter.set_rate(int(number))
        case ["uploads", number] if number.isdigit():
            server.set_max_uploads(int(number))
        case ["tls", text] if pem := _identity(text):
            server.set_identity(pem)
        case ["clock", offset] if offset.removeprefix("-").isdigit():
            server.clock_offset_ms = int(offset)
        case []:
            pass
        case [word, *_]:
            log.warning("unknown order: %s", word[:20])  # what follows it may be a secret


def _say(line: str) -> None:
    """One line for the agent, whole, whichever thread it comes from."""
    with suppress(OSError):  # the agent is gone, and so is this process in a moment
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _identity(text: str) -> str:
    """The PEM that came in base64; empty when it is none."""
    try:
        pem = base64.b64decode(text.strip(), validate=True).decode()
    except ValueError:
        return ""
    return pem if "PRIVATE KEY" in pem else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m transfers.dataplane.server", description="Serves shards to nodes.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the node's data directory")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--rate", type=int, default=0, help="cap on all sending in bit/s; 0 for none")
    parser.add_argument("--max-uploads", type=int, default=2, help="transfers at once (default: %(default)s)")
    parser.add_argument(
        "--stall-after", type=float, default=10.0, help="seconds without new bytes after which a cut-through ends"
    )
    parser.add_argument("--tls", action="store_true", help="serve by TLS alone")
    parser.add_argument("--log-level", default="warning", help="debug, info, warning or error (default: %(default)s)")
    parser.add_argument("--log-format", choices=sorted(FORMATTERS), default="line", help="(default: %(default)s)")
    parser.add_argument("--node", default="", help="the node's name, for the log")
    return parser


if __name__ == "__main__":
    sys.exit(main())
