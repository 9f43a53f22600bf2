"""Agents that serve each other by TLS alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.agent.fleet import MB, Fleet, wait_until
from transfers.dataplane.tls import make_identity, split_pin

NODES = ("n1", "n2", "n3")


def untrusted(fleet: Fleet, job: str) -> set[tuple[str, str]]:
    """Who would not read from whom."""
    return {
        (event.fields["node"], event.fields["source"])
        for event in fleet.scheduler.events("0", count=10_000)
        if event.kind == "failed" and event.fields.get("job") == job and event.fields["why"] == "untrusted"
    }


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_every_node_gets_every_byte_by_tls(fleet: Fleet, topology: str) -> None:
    payload = fleet.payload({"a.bin": 5 * MB + 17, "b/c.bin": 3 * MB, "empty": 0, "tiny": 5})
    fleet.start_all(NODES, peer_tls="required")
    assert all(split_pin(view.address)[1] for view in fleet.scheduler.nodes())
    job = fleet.submit(payload, NODES, topology)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    fleet.assert_read_once(job, payload)
    assert untrusted(fleet, job) == set()


def test_it_is_turned_on_node_by_node(fleet: Fleet) -> None:
    """A node that serves in plain text reads by TLS where the address says so, and the other way round."""
    payload = fleet.payload({"a": 8 * MB})
    fleet.start_all(["n1", "n2"], peer_tls="on")
    fleet.start_all(["n3"])
    job = fleet.submit(payload, NODES)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    fleet.assert_read_once(job, payload)
    assert untrusted(fleet, job) == set()


def test_a_node_in_plain_text_is_not_read_where_tls_is_required_and_is_named(fleet: Fleet) -> None:
    payload = fleet.payload({"a": 4 * MB})
    fleet.start_all(["n1"])
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_held(job, "n1", 4)
    fleet.start_all(["n2"], peer_tls="required")
    wait_until(lambda: untrusted(fleet, job) == {("n2", "n1")}, what="the record of who is not believed")


def test_an_address_that_somebody_changed_in_redis_leads_to_nobody(fleet: Fleet) -> None:
    """Readers show no ticket to whoever has another certificate; the node's next start puts it right."""
    payload = fleet.payload({"a": 6 * MB})
    fleet.start_all(["n1"], peer_tls="on")
    job = fleet.submit(payload, NODES)
    fleet.wait_held(job, "n1", 6)
    index = fleet.redis.hget("{fdist:main}:nodes", "n1").decode()
    place = split_pin(fleet.redis.hget(f"{{fdist:main}}:n:{index}", "address").decode())[0]
    fleet.redis.hset(f"{{fdist:main}}:n:{index}", "address", f"{place}#{make_identity('n1').pin}")
    fleet.redis.delete("{fdist:main}:stamp")
    fleet.start_all(["n2", "n3"], peer_tls="on")
    wait_until(lambda: bool(untrusted(fleet, job)), what="somebody to notice")
    assert {source for _, source in untrusted(fleet, job)} == {"n1"}
    agent = fleet.agents["n1"]
    agent.session.lose(agent.session.epoch)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)


def test_a_certificate_is_renewed_long_before_its_end(fleet: Fleet) -> None:
    payload = fleet.payload({"a": 4 * MB})
    fleet.start_all(["n1"], peer_tls="required")
    server = fleet.agents["n1"].server
    old = make_identity("n1", datetime.now(UTC) - timedelta(days=21))
    server.set_identity(old)
    wait_until(lambda: server.identity is not None and server.identity.pin != old.pin, what="a new certificate")
    fleet.start_all(["n2"], peer_tls="required")
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    assert untrusted(fleet, job) == set()


def test_a_shard_server_that_died_comes_back_with_the_same_certificate(fleet: Fleet) -> None:
    payload = fleet.payload({"a": 6 * MB})
    fleet.start_all(["n1"], peer_tls="required")
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_held(job, "n1", 6)
    server = fleet.agents["n1"].server
    pin, child = server.identity, server._child
    assert child is not None
    child.kill()
    wait_until(lambda: server.starts == 2 and server.wait_ready(0), what="another server")
    assert server.identity is pin
    fleet.start_all(["n2"], peer_tls="required")
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
