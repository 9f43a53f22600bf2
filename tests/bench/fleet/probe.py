"""One TCP connection at full speed, for what its payload gets of a link.

    python -m tests.bench.fleet.probe sink ADDRESS
    python -m tests.bench.fleet.probe source ADDRESS BYTES

The sink prints "ready", and at the end the bytes a second that it got from the first byte on.
"""

from __future__ import annotations

import socket
import sys
import time

PORT = 9999
BLOCK = 1 << 18


def sink(address: str) -> None:
    with socket.create_server((address, PORT)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    buffer = bytearray(BLOCK)
    total, first = 0, 0.0
    with connection:
        while count := connection.recv_into(buffer):
            first = first or time.perf_counter()
            total += count
    print(total / (time.perf_counter() - first), flush=True)


def source(address: str, amount: int) -> None:
    block = bytes(BLOCK)
    with socket.create_connection((address, PORT)) as connection:
        while amount > 0:
            connection.sendall(block[:amount])
            amount -= len(block)


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(sys.argv[2])
    else:
        source(sys.argv[2], int(sys.argv[3]))
