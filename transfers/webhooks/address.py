"""Where messages may go: https to public addresses, unless the installation allows more.

A webhook's address is written by a person and called by the coordinator, which stands in a private network: without
this, whoever may add a webhook could have it ask the machine's metadata server, or a neighbour's unprotected service.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from transfers.errors import FdistError

PORTS = {"https": 443, "http": 80}


class ForbiddenAddress(FdistError):
    """This address is not called: choose another one, or allow it by the setting that the message names."""


@dataclass(frozen=True)
class Allowed:
    """http: also without TLS. private: also loopback and the networks that are not routed on the internet."""

    http: bool = False
    private: bool = False


@dataclass(frozen=True)
class Target:
    """path: with the query."""

    scheme: str
    host: str
    port: int
    path: str


def parse_url(url: str, allowed: Allowed) -> Target:
    """Where a URL points to; asks no name server. Raises ForbiddenAddress."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise ForbiddenAddress(f"an address begins with https://, and {url} does not")
    if parts.scheme == "http" and not allowed.http:
        raise ForbiddenAddress("http would be read by whoever listens: use https, or set FDIST_WEBHOOK_HTTP=true")
    if not parts.hostname:
        raise ForbiddenAddress(f"{url} names no host")
    if parts.username or parts.password:
        raise ForbiddenAddress("an address has no user and password in it: the signature says who sends")
    try:
        port = parts.port or PORTS[parts.scheme]
    except ValueError:
        raise ForbiddenAddress(f"{url} has no port between 1 and 65535") from None
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        literal = None  # a name, looked up when a message is sent
    if literal is not None:
        check_ip(literal, allowed)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port, path)


def resolve(target: Target, allowed: Allowed) -> str:
    """An IP address of the target's host to connect to. Raises ForbiddenAddress, and OSError for a name that has none.

    Every address of the name has to be allowed; the one that was checked is the one to connect to.
    """
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        check_ip(ipaddress.ip_address(address.partition("%")[0]), allowed)
    return addresses[0]


def check_ip(address: ipaddress.IPv4Address | ipaddress.IPv6Address, allowed: Allowed) -> None:
    """Raises ForbiddenAddress."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        return check_ip(mapped, allowed)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ForbiddenAddress(f"{address} is never called: machines keep their secrets behind such addresses")
    if not address.is_global and not allowed.private:
        raise ForbiddenAddress(f"{address} is a private address: set FDIST_WEBHOOK_PRIVATE=true to allow those")
    return None
