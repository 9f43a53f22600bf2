"""The heads of HTTP/1.1 messages between nodes: as much of the protocol as a shard needs, in microseconds.

The standard library's parser costs 0.2 ms a message, most of it in the e-mail package; at a hand-over between two
shards that is time in which a link is idle.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from transfers.dataplane.tls import RECORD, TlsConnection

MAX_HEAD = 8192
_END = b"\r\n\r\n"
_LINGER_ZERO = struct.pack("ii", 1, 0)


class BadHead(ValueError):
    """What came is not the head of an HTTP/1.1 message."""


@dataclass(frozen=True)
class Head:
    """The first line of a message, cut in three, and its headers with names in lower case."""

    first: tuple[str, str, str]
    headers: Mapping[str, str]


def find_head(data: bytes | bytearray) -> tuple[Head, int] | None:
    """The head at the start of `data` and its length; None when more bytes must come. Raises BadHead."""
    end = data.find(_END, 0, MAX_HEAD)
    if end < 0:
        if len(data) >= MAX_HEAD:
            raise BadHead(f"no end of the head within {MAX_HEAD} bytes")
        if data and not data[:1].isalpha():
            raise BadHead("that is not HTTP")
        return None
    lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    first = lines[0].split(" ", 2)
    if len(first) != 3:
        raise BadHead(f"{lines[0][:80]!r} is not the first line of an HTTP message")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or name.lower() in headers:
            raise BadHead(f"{line[:80]!r} is not a header, or comes twice")
        headers[name.lower()] = value.strip()
    return Head((first[0], first[1], first[2]), headers), end + len(_END)


def make_head(first: str, headers: Mapping[str, str | int]) -> bytes:
    """The bytes of a head. Values come from the program, never from a peer."""
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[::1]:port". Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit():
        raise ValueError(f"{address!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def tune(connection: socket.socket) -> None:
    """What every connection between nodes wants.

    The kernel sizes the buffers itself, up to the limits of net.ipv4.tcp_rmem and tcp_wmem (megabytes); asking for a
    size would switch that off and is capped at net.core.*mem_max, 208 KiB by default.

    Many short flows share each link. One that ends leaves room that the others are to take at once: CUBIC's do, while
    BBR's find it in some round trips (8 nodes on links of 50 Mbit/s: 1.06 of the bound instead of 1.10 to 1.14).
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError):  # not there, or not allowed: then it is what the machine has
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def set_patience(connection: socket.socket, option: int, seconds: float) -> None:
    """A limit on one blocking call, kept by the kernel (SO_RCVTIMEO or SO_SNDTIMEO): it then fails with EAGAIN.

    Unlike settimeout() this costs no poll() before each call.
    """
    if isinstance(connection, TlsConnection):
        connection.patience[option] = seconds
        return
    whole = int(seconds)
    connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, int((seconds - whole) * 1e6)))


def set_low_water(connection: socket.socket, size: int) -> None:
    """Bytes that must be there before a read that asks for more returns; less at its timeout and at the end."""
    if isinstance(connection, TlsConnection):
        size = max(size - RECORD, 1)  # some of what is awaited may have been taken from the socket already
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


def file_sender(connection: socket.socket) -> Callable[[int, int, int], int]:
    """What sends bytes of a file (descriptor, offset, count) over this connection and gives how many it sent."""
    return connection.send_file if isinstance(connection, TlsConnection) else partial(os.sendfile, connection.fileno())


def reset(connection: socket.socket) -> None:
    """Close with RST: the other side learns that what it got is void, not just cut short."""
    if isinstance(connection, TlsConnection):
        connection.is_void = True
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    connection.close()
