"""Hosts on one machine: network namespaces on one bridge, each with a NIC of its own that is shaped in both directions.

What a host sends is shaped by a token bucket on its own end of the link, what it receives by one on the bridge's end.
The bridge has an address too, so servers of the root namespace are reached by every host. No packet leaves the machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

MOST_HOSTS = 200
PROBED = 97  # the subnet of a fleet that is built to see whether one can be: another may be at work meanwhile
SMOOTHNESS = 250  # bursts a second: a bucket holds 4 ms of the rate
LEAST_BURST = 65_536  # bytes; one segment as TCP hands it to the NIC
QUEUE = "25ms"
SEGMENT = 1448  # bytes of payload in a full one: 1,500 without 52 of headers


class NoFleet(RuntimeError):
    """The fleet cannot be built or changed; the message says why."""


def why_not() -> str:
    """Why no fleet can be built on this machine, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            return f"the program {program} is missing (Debian: iproute2)"
    try:
        with Namespaces(f"p{os.getpid() % 100_000}", 1, 1_000_000, subnet=PROBED):
            return ""
    except NoFleet as error:
        return f"this kernel cannot shape links in a namespace: {error}"


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoFleet(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Namespaces:
    """`hosts` namespaces, numbered from 0; the context manager builds them and removes them.

    name: at most 6 of a-z and 0-9, since an interface's name has at most 15 characters. rate: of each link, both ways,
    in bit/s; 0 leaves it unshaped. subnet: the second octet of the fleet's 10.x.0.0/16.
    """

    def __init__(self, name: str, hosts: int, rate: int, *, subnet: int = 99) -> None:
        if not re.fullmatch(r"[a-z0-9]{1,6}", name):
            raise NoFleet(f"{name!r} cannot be a fleet's name: use 1 to 6 of a-z and 0-9")
        if not 1 <= hosts <= MOST_HOSTS:
            raise NoFleet(f"{hosts} hosts: a fleet has 1 to {MOST_HOSTS}")
        self.hosts = hosts
        self._rate = rate
        self._subnet = subnet
        self._bridge = f"fb-{name}"
        self._link = f"fb{name}"

    @property
    def bridge_address(self) -> str:
        """Where hosts reach servers of the root namespace."""
        return f"10.{self._subnet}.0.1"

    def address(self, host: int) -> str:
        return f"10.{self._subnet}.1.{host + 1}"

    def prefix(self, host: int) -> list[str]:
        """What the command line of a program begins with that is to run in a host; its pid is the program's."""
        return ["ip", "netns", "exec", self._namespace(host)]

    def __enter__(self) -> Namespaces:
        """Build the fleet; what an earlier one of this name left is removed first."""
        self._remove()
        try:
            run("ip", "link", "add", self._bridge, "type", "bridge")
            run("ip", "addr", "add", f"{self.bridge_address}/16", "dev", self._bridge)
            run("ip", "link", "set", self._bridge, "up")
            for host in range(self.hosts):
                self._add(host)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def set_rate(self, host: int, rate: int) -> None:
        """Shape a host's link to `rate` bit/s both ways, now; 0 takes the limit away. Open connections live on."""
        for prefix, device in ((["-n", self._namespace(host)], "eth0"), ([], self._outer(host))):
            shown = run("tc", *prefix, "qdisc", "show", "dev", device)
            if rate:
                burst = max(LEAST_BURST, rate // 8 // SMOOTHNESS)
                shape = ["tbf", "rate", f"{rate}bit", "burst", f"{burst}b", "latency", QUEUE]
                run("tc", *prefix, "qdisc", "replace", "dev", device, "root", *shape)
            elif "tbf" in shown:
                run("tc", *prefix, "qdisc", "del", "dev", device, "root")

    def set_rates(self, rates: Mapping[int, int], default: int) -> None:
        for host in range(self.hosts):
            self.set_rate(host, rates.get(host, default))

    def cut(self, host: int) -> None:
        """Take a host off the network without a word to its peers, as a pulled plug does."""
        run("ip", "link", "set", self._outer(host), "down")

    def join(self, host: int) -> None:
        run("ip", "link", "set", self._outer(host), "up")

    def received(self, host: int) -> int:
        """Bytes on the wire that a host has received since it was built."""
        return self._count(host, "tx_bytes")  # the bridge's end sees the traffic mirrored

    def sent(self, host: int) -> int:
        """Bytes of TCP payload that a host has sent since it was built, what was sent again for a loss not counted.

        By segments, each taken to be full: the link's own counter counts the headers of many segments as one.
        """
        table = run(*self.prefix(host), "cat", "/proc/net/netstat").splitlines()
        names, values = (line.split() for line in table if line.startswith("TcpExt:"))
        return int(values[names.index("TCPOrigDataSent")]) * SEGMENT

    def _count(self, host: int, which: str) -> int:
        return int(Path(f"/sys/class/net/{self._outer(host)}/statistics/{which}").read_text())

    def _namespace(self, host: int) -> str:
        return f"{self._bridge}-{host}"

    def _outer(self, host: int) -> str:
        return f"{self._link}{host}"

    def _add(self, host: int) -> None:
        namespace, outer = self._namespace(host), self._outer(host)
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "link", "set", outer, "master", self._bridge, "up")
        run("ip", "-n", namespace, "addr", "add", f"{self.address(host)}/16", "dev", "eth0")
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        self.set_rate(host, self._rate)

    def _remove(self) -> None:
        """Remove all that bears this fleet's name, whoever built it. Processes in it are not ended."""
        for line in run("ip", "netns", "list").splitlines():
            namespace = line.split()[0] if line.split() else ""
            if re.fullmatch(rf"{self._bridge}-\d+", namespace):
                subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)
        for link in json.loads(run("ip", "-j", "link", "show") or "[]"):
            if re.fullmatch(rf"{self._link}\d+|{self._bridge}", link["ifname"]):
                subprocess.run(["ip", "link", "del", link["ifname"]], capture_output=True, check=False)
