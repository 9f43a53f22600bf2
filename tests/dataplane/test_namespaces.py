"""The hosts of the fleet benchmark: their links have the rate that they were given, and can be cut."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bench.fleet.namespaces import Namespaces, NoFleet, why_not

pytestmark = pytest.mark.root

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 9), 2)"


@pytest.fixture
def net() -> Iterator[Namespaces]:
    if reason := why_not():
        pytest.skip(reason)
    with Namespaces(f"t{os.getpid() % 10_000}", 2, 8_000_000, subnet=98) as built:
        yield built


def connect(net: Namespaces) -> str:
    """What the first host hears when it connects to a port of the second at which nobody listens."""
    words = [*net.prefix(0), sys.executable, "-c", CONNECT, net.address(1)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stderr


def test_a_link_is_shaped_on_both_of_its_ends_and_no_longer_when_that_is_lifted(net: Namespaces) -> None:
    show = ["tc", "qdisc", "show", "dev", "eth0"]
    assert "rate 8Mbit" in subprocess.run([*net.prefix(0), *show], capture_output=True, text=True, check=True).stdout
    net.set_rate(0, 0)
    assert "tbf" not in subprocess.run([*net.prefix(0), *show], capture_output=True, text=True, check=True).stdout


def test_hosts_reach_each_other_until_a_link_is_cut(net: Namespaces) -> None:
    assert "refused" in connect(net)
    assert net.received(1) > 0
    net.cut(1)
    assert "refused" not in connect(net)
    net.join(1)
    assert "refused" in connect(net)


def test_a_name_that_is_too_long_for_an_interface_is_refused() -> None:
    with pytest.raises(NoFleet, match="1 to 6"):
        Namespaces("much-too-long", 2, 0)
