"""Peers that lie, stall or speak something else: each is noticed soon and named rightly."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fdist_site.local.processes import free_port
from tests.timing import quickest
from transfers.dataplane.peer import PeerClient
from transfers.errors import CorruptShard, PeerFailed

from .nodes import fetch
from .payloads import Payload, mixed_payload

PATIENCE = 60.0  # seconds, for what happens at once on a machine that has nothing else to do
Behaviour = Callable[[socket.socket], None]


@contextmanager
def peer(behave: Behaviour) -> Iterator[int]:
    """A server that reads a request and then does as told; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                behave(connection)

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _quietly(call: Callable[[socket.socket], None], connection: socket.socket) -> None:
    try:
        call(connection)
    except OSError:
        return


def answer(body: bytes, length: int | None = None, status: str = "200 OK", more: str = "") -> bytes:
    length = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n".encode() + body


@pytest.fixture
def payload() -> Payload:
    return mixed_payload()


def attempt(tmp_path: Path, payload: Payload, behave: Behaviour, **options: float) -> PeerFailed:
    store = payload.store(tmp_path)
    with peer(behave) as port, pytest.raises(PeerFailed) as caught:
        fetch(PeerClient(), port, store, 0, **{"stall_after": PATIENCE} | options)
    return caught.value


def test_flipped_bits_are_noticed_by_the_digest(tmp_path: Path, payload: Payload) -> None:
    wrong = bytearray(payload.shard(0))
    wrong[40_000] ^= 1
    store = payload.store(tmp_path)
    with peer(lambda c: c.sendall(answer(bytes(wrong)))) as port:
        fetch(PeerClient(), port, store, 0)
    with pytest.raises(CorruptShard):
        store.mark_verified(0, payload.digest(0))


def test_another_shard_of_the_same_length_is_noticed_by_the_digest(tmp_path: Path, payload: Payload) -> None:
    store = payload.store(tmp_path)
    with peer(lambda c: c.sendall(answer(payload.shard(1)))) as port:
        fetch(PeerClient(), port, store, 0)
    with pytest.raises(CorruptShard):
        store.mark_verified(0, payload.digest(0))


def test_an_answer_that_ends_early_is_short_and_what_came_is_kept(tmp_path: Path, payload: Payload) -> None:
    def behave(connection: socket.socket) -> None:
        connection.sendall(answer(payload.shard(0)[:9_000], 64_000))
        connection.shutdown(socket.SHUT_RDWR)

    assert attempt(tmp_path, payload, behave).why == "short"
    assert payload.store(tmp_path).received(0) == 9_000


def test_a_peer_that_stops_in_the_middle_stalls(tmp_path: Path, payload: Payload) -> None:
    def stop(number: int) -> None:
        folder = tmp_path / str(number)
        failed = attempt(
            folder, payload, lambda c: c.sendall(answer(payload.shard(0)[:9_000], 64_000)), stall_after=0.5
        )
        assert failed.why == "stalled"

    assert quickest(stop, 3) < 3


def test_a_peer_that_never_answers_stalls(tmp_path: Path, payload: Payload) -> None:
    assert attempt(tmp_path, payload, lambda c: None, stall_after=0.5).why == "stalled"


def test_a_peer_that_drips_is_slow(tmp_path: Path, payload: Payload) -> None:
    def behave(connection: socket.socket) -> None:
        connection.sendall(answer(b"", 64_000))
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.02)

    failed = attempt(tmp_path, payload, behave, stall_after=1.0, min_rate=125_000)
    assert failed.why == "slow"
    assert "125000 wanted" in str(failed)


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"<html>" * 2000,
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_not_our_protocol_is_garbage(tmp_path: Path, payload: Payload, reply: bytes) -> None:
    assert attempt(tmp_path, payload, lambda c: c.sendall(reply)).why == "garbage"
    assert payload.store(tmp_path).received(0) == 0


@pytest.mark.parametrize(
    "reply",
    [
        answer(bytes(64_001)),
        answer(bytes(63_999)),
        answer(bytes(64_000), status="206 Partial Content"),
        answer(bytes(64_000), status="206 Partial Content", more="Content-Range: bytes 1-64000/64001\r\n"),
        answer(bytes(64_000) + b"HTTP/1.1 200 OK", 64_000),
    ],
)
def test_another_amount_than_was_asked_for_is_garbage(tmp_path: Path, payload: Payload, reply: bytes) -> None:
    small = Payload({"a": 64_000}, 64_000)
    store = small.store(tmp_path)
    with peer(lambda c: c.sendall(reply)) as port:
        client = PeerClient()
        try:
            fetch(client, port, store, 0, stall_after=PATIENCE)
        except PeerFailed as failed:
            assert failed.why == "garbage"
        assert not client._pool.idle(), "a connection with more to say must not be used again"


def test_the_whole_shard_instead_of_its_rest_is_garbage(tmp_path: Path, payload: Payload) -> None:
    store = payload.store(tmp_path)
    writer = store.writer(0)
    writer.write(payload.shard(0)[:1000])
    writer.abort()
    with peer(lambda c: c.sendall(answer(payload.shard(0)))) as port, pytest.raises(PeerFailed) as caught:
        fetch(PeerClient(), port, store, 0)
    assert caught.value.why == "garbage"
    assert store.received(0) == 1000


def test_a_port_where_nobody_listens_refuses_at_once(tmp_path: Path, payload: Payload) -> None:
    port = free_port()
    store = payload.store(tmp_path)

    def ask(_: int) -> None:
        with pytest.raises(PeerFailed) as caught:
            fetch(PeerClient(), port, store, 0)
        assert caught.value.why == "refused"

    assert quickest(ask, 3) < 3


@pytest.mark.parametrize("address", ["", "host", "host:", ":80", "host:port", "no.such.host.invalid:80"])
def test_an_address_that_leads_nowhere_is_refused(tmp_path: Path, payload: Payload, address: str) -> None:
    writer = payload.store(tmp_path).writer(0)
    with pytest.raises(PeerFailed) as caught:
        PeerClient().read_shard(address, "j", 0, "t", "n", writer)
    assert caught.value.why == "refused"
