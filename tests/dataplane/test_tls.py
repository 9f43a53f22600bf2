"""Shards from node to node by TLS: who is believed, who is not and is told so, and that all else stays as it was."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.timing import TRIES, quickest
from transfers.dataplane import serving as serving_module
from transfers.dataplane.peer import PeerClient
from transfers.dataplane.store import JobStore
from transfers.dataplane.tls import Identity, make_identity, split_pin
from transfers.errors import Cancelled, PeerFailed

from .nodes import READER, serving, ticket_for
from .payloads import Payload, mixed_payload

PATIENCE = 60.0  # seconds, for what happens at once on a machine that has nothing else to do
LONG_AGO = datetime.now(UTC) - timedelta(days=33)


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("gpu-01")


def read(client: PeerClient, port: int, pin: str, store: JobStore, shard: int, **options: Any) -> int:
    writer = store.writer(shard, store.received(shard))
    address = f"127.0.0.1:{port}" + (f"#{pin}" if pin else "")
    ticket = options.pop("ticket", None) or ticket_for(shard, store.job)
    try:
        client.read_shard(address, store.job, shard, ticket, READER, writer, offset=writer.received, **options)
        return writer.finish()
    except BaseException:
        writer.abort()
        raise


def test_a_whole_job_goes_by_tls_over_one_connection(tmp_path: Path, identity: Identity) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    there, client = payload.store(tmp_path / "b"), PeerClient(tls_only=True)
    with serving(tmp_path / "a", identity=identity.pem) as server:
        for shard in range(payload.layout.shard_count):
            crc = read(client, server.port, identity.pin, there, shard)
            there.mark_verified(shard, crc)
        assert server.counters.connections == 1
    assert there.finish_files() == []
    payload.check_placed(tmp_path / "b/models/m")


def test_big_shards_arrive_whole_and_do_not_wait_for_their_end(tmp_path: Path, identity: Identity) -> None:
    """A reader sleeps until many bytes have come, of which OpenSSL may hold some already."""
    payload = Payload({"a": 2 * TRIES * 5_000_003}, 5_000_003)
    payload.fill(payload.store(tmp_path / "a"))
    there, client = payload.store(tmp_path / "b"), PeerClient()
    with serving(tmp_path / "a", identity=identity.pem, rate_bits=2_000_000_000) as server:
        for cut_through in (False, True):

            def arrives(number: int, cut_through: bool = cut_through) -> None:
                shard = number + cut_through * TRIES
                crc = read(client, server.port, identity.pin, there, shard, cut_through=cut_through)
                assert crc == payload.digest(shard)

            assert quickest(arrives, 0.02 + 0.09) < 0.02 + 0.09


def test_bytes_are_passed_on_by_tls_while_they_arrive(tmp_path: Path, identity: Identity) -> None:
    """A chain of three: what the first writes is on the third's disk within milliseconds."""
    payload = mixed_payload()
    shard = 5
    first, second, third = (payload.store(tmp_path / name) for name in "abc")
    writer = first.writer(shard)
    data = payload.shard(shard)
    crcs: dict[str, int] = {}

    def run(name: str, port: int) -> None:
        store = {"b": second, "c": third}[name]
        crcs[name] = read(PeerClient(tls_only=True), port, identity.pin, store, shard, cut_through=True)

    with serving(tmp_path / "a", identity=identity.pem) as a, serving(tmp_path / "b", identity=identity.pem) as b:
        threads = [threading.Thread(target=run, args=("c", b.port)), threading.Thread(target=run, args=("b", a.port))]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        delays = []
        for start in range(0, len(data), 8_000):
            writer.write(data[start : start + 8_000])
            sent_at = time.monotonic()
            wait_until(lambda: third.received(shard) == writer.received)
            delays.append(time.monotonic() - sent_at)
        assert writer.finish() == payload.digest(shard)
        for thread in threads:
            thread.join(PATIENCE)
    assert crcs == {"b": payload.digest(shard), "c": payload.digest(shard)}
    assert sorted(delays)[len(delays) // 2] < 0.25


def test_who_has_another_certificate_is_not_asked_for_anything(tmp_path: Path, identity: Identity) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    there, other = payload.store(tmp_path / "b"), make_identity("gpu-01")
    with serving(tmp_path / "a", identity=other.pem) as server:
        with pytest.raises(
            PeerFailed, match=f"SHA-256 {other.pin}, and the one that was meant has {identity.pin}"
        ) as it:
            read(PeerClient(), server.port, identity.pin, there, 0)
        assert it.value.why == "untrusted"
        assert server.counters.as_dict()["requests"] == 0  # the ticket was not shown


def test_a_certificate_that_has_ended_is_refused(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    old = make_identity("gpu-01", LONG_AGO)
    assert old.is_due()
    with serving(tmp_path / "a", identity=old.pem) as server:
        with pytest.raises(PeerFailed, match=r"and it is .* here: restart its agent") as caught:
            read(PeerClient(), server.port, old.pin, payload.store(tmp_path / "b"), 0)
        assert caught.value.why == "untrusted"


def test_a_node_that_speaks_plain_text_where_tls_was_meant_is_refused(tmp_path: Path, identity: Identity) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    with serving(tmp_path / "a") as server:
        with pytest.raises(PeerFailed, match="is to be read by TLS, and does not speak it") as caught:
            read(PeerClient(), server.port, identity.pin, payload.store(tmp_path / "b"), 0)
        assert caught.value.why == "untrusted"


def test_a_reader_in_plain_text_is_told_that_it_has_to_speak_tls(
    tmp_path: Path, identity: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    with serving(tmp_path / "a", identity=identity.pem) as server:
        with pytest.raises(PeerFailed, match="status 426") as caught:
            read(PeerClient(), server.port, "", payload.store(tmp_path / "b"), 0)
        assert caught.value.why == "untrusted"
        assert "read by TLS alone" in caplog.text
        assert server.counters.as_dict()["refused"] == 1
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            said = connection.recv(1000)
        assert said.startswith(b"HTTP/1.1 426 Upgrade Required")
        assert b"TLS alone" in said


def test_a_node_may_refuse_to_read_in_plain_text(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    with serving(tmp_path / "a") as server:
        with pytest.raises(PeerFailed, match="FDIST_PEER_TLS=required") as caught:
            read(PeerClient(tls_only=True), server.port, "", payload.store(tmp_path / "b"), 0)
        assert caught.value.why == "untrusted"
        assert server.counters.as_dict()["connections"] == 0


def test_tls_does_not_stand_for_a_ticket(tmp_path: Path, identity: Identity) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    with serving(tmp_path / "a", identity=identity.pem) as server:
        with pytest.raises(PeerFailed) as caught:
            read(PeerClient(), server.port, identity.pin, payload.store(tmp_path / "b"), 0, ticket=ticket_for(1))
        assert caught.value.why == "ticket"


def test_nothing_that_is_secret_crosses_the_wire(tmp_path: Path, identity: Identity) -> None:
    payload = Payload({"a": 200_000}, 200_000)
    payload.fill(payload.store(tmp_path / "a"))
    seen = bytearray()
    with serving(tmp_path / "a", identity=identity.pem) as server, socket.create_server(("127.0.0.1", 0)) as between:

        def relay() -> None:
            left, _ = between.accept()
            right = socket.create_connection(("127.0.0.1", server.port))

            def pump(source: socket.socket, target: socket.socket) -> None:
                while data := source.recv(65536):
                    seen.extend(data)
                    target.sendall(data)

            for pair in ((left, right), (right, left)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

        threading.Thread(target=relay, daemon=True).start()
        ticket = ticket_for(0)
        there = payload.store(tmp_path / "b")
        port = between.getsockname()[1]
        assert read(PeerClient(), port, identity.pin, there, 0, ticket=ticket) == payload.digest(0)
    assert len(seen) > 200_000
    assert ticket.encode() not in seen
    assert not any(payload.run[at : at + 16] in seen for at in range(0, 200_000, 1000))


def test_a_dropped_shard_voids_what_was_sent_of_it(tmp_path: Path, identity: Identity) -> None:
    payload = Payload({"a": 3_000_000}, 3_000_000)
    source, there = payload.store(tmp_path / "a"), payload.store(tmp_path / "b")
    writer = source.writer(0)
    writer.write(payload.shard(0)[:1_000_000])
    came = threading.Event()
    with serving(tmp_path / "a", identity=identity.pem) as server:
        failed: list[PeerFailed] = []

        def run() -> None:
            try:
                read(PeerClient(), server.port, identity.pin, there, 0, cut_through=True, on_bytes=lambda _: came.set())
            except PeerFailed as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert came.wait(PATIENCE)
        writer.abort()
        source.drop(0)
        thread.join(PATIENCE)
    assert [error.why for error in failed] == ["reset"]
    assert there.received(0) == 0


def test_a_cancelled_transfer_ends_at_once(tmp_path: Path, identity: Identity) -> None:
    payload = mixed_payload()
    writer = payload.store(tmp_path / "a").writer(0)
    writer.write(payload.shard(0)[:100])
    there = payload.store(tmp_path / "b")

    def cancel(_: int) -> None:
        began = time.monotonic()
        with pytest.raises(Cancelled):
            read(
                PeerClient(),
                server.port,
                identity.pin,
                there,
                0,
                cut_through=True,
                cancelled=lambda: time.monotonic() - began > 0.3,
            )

    with serving(tmp_path / "a", identity=identity.pem, max_uploads=100) as server:
        assert quickest(cancel, 2) < 2


def test_a_new_certificate_serves_new_connections_and_the_old_ones_go_on(tmp_path: Path, identity: Identity) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    there, client, new = payload.store(tmp_path / "b"), PeerClient(), make_identity("gpu-01")
    with serving(tmp_path / "a", identity=identity.pem) as server:
        read(client, server.port, identity.pin, there, 0)
        server.set_identity(new.pem)
        assert read(client, server.port, identity.pin, there, 1) == payload.digest(1)
        assert read(client, server.port, new.pin, there, 2) == payload.digest(2)
        assert server.counters.connections == 2
        with pytest.raises(PeerFailed, match="another took its address"):
            read(PeerClient(), server.port, identity.pin, there, 3)


def test_who_connects_and_says_nothing_holds_nobody_up(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "_HANDSHAKE_SECONDS", 2.0)
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    with serving(tmp_path / "a", identity=identity.pem) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(3)]
        silent[0].sendall(b"\x16\x03\x01\x02")  # a beginning, and no more
        assert read(PeerClient(), server.port, identity.pin, payload.store(tmp_path / "b"), 0) == payload.digest(0)
        for connection in silent:
            assert connection.recv(100) == b""
            connection.close()


def test_an_address_says_how_it_is_read() -> None:
    assert split_pin("10.0.0.7:7400") == ("10.0.0.7:7400", "")
    assert split_pin("[::1]:7400#abc") == ("[::1]:7400", "abc")


def test_a_key_is_not_shown(identity: Identity) -> None:
    assert "PRIVATE" in identity.pem
    assert "PRIVATE" not in repr(identity)


def wait_until(condition: Any, seconds: float = PATIENCE) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.0005)
