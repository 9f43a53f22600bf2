"""Shards from node to node over real sockets: what is served, to whom, and while it still arrives."""

import errno
import http.client
import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.timing import TRIES, quickest
from transfers.dataplane import serving as serving_module
from transfers.dataplane import uploads, wire
from transfers.dataplane.peer import NotHeld, PeerClient
from transfers.dataplane.ratelimit import TokenBucket
from transfers.dataplane.tickets import make_ticket
from transfers.errors import Cancelled, PeerFailed

from .nodes import KEY, READER, fetch, serving, ticket_for
from .payloads import JOB, Payload, mixed_payload

PATIENCE = 60.0  # seconds, for what happens at once on a machine that has nothing else to do


def get(port: int, shard: int | str, headers: dict[str, str] | None = None, job: str = JOB) -> tuple[int, bytes, dict]:
    """A plain HTTP client's view."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    if headers is None:
        headers = {"Authorization": f"Ticket {ticket_for(int(shard), job)}", "X-Fdist-Node": READER}
    connection.request("GET", f"/v1/jobs/{job}/shards/{shard}", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}


def test_a_whole_job_goes_from_node_to_node_over_one_connection(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    there, client = payload.store(tmp_path / "b"), PeerClient()
    moved: list[int] = []
    with serving(tmp_path / "a") as server:
        for shard in range(payload.layout.shard_count):
            crc = fetch(client, server.port, there, shard, on_bytes=moved.append)
            assert crc == payload.digest(shard)
            there.mark_verified(shard, crc)
        assert server.counters.connections == 1
        assert sum(moved) == payload.layout.size
        wait_until(lambda: server.counters.as_dict()["sent"] == sum(moved))  # it counts after it has sent
    assert there.finish_files() == []
    payload.check_placed(tmp_path / "b/models/m")


def test_shards_of_placed_files_are_served_too(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path / "a")
    payload.fill(store)
    with serving(tmp_path / "a") as server:
        assert get(server.port, 2)[1] == payload.shard(2)
        store.finish_files()
        last = payload.layout.shard_count - 1
        for shard in (2, last):
            assert get(server.port, shard)[1] == payload.shard(shard)


def test_plain_http_clients_get_ranges_and_an_etag(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path), 0)
    ticket = {"Authorization": f"Ticket {ticket_for(0)}", "X-Fdist-Node": READER}
    with serving(tmp_path) as server:
        status, body, headers = get(server.port, 0, ticket)
        assert (status, body) == (200, payload.shard(0))
        assert headers["etag"] == f'"{payload.digest(0):08x}"'
        status, body, headers = get(server.port, 0, ticket | {"Range": "bytes=63990-"})
        assert (status, body) == (206, payload.shard(0)[63_990:])
        assert headers["content-range"] == "bytes 63990-63999/64000"
        for bad in ("bytes=64000-", "bytes=-5", "bytes=0-1,4-5", "lines=1-"):
            assert get(server.port, 0, ticket | {"Range": bad})[0] == 416


def test_only_verified_shards_of_known_jobs_are_served(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    payload.fill(store, 1)
    writer = store.writer(0)
    writer.write(payload.shard(0))
    with serving(tmp_path) as server:
        assert get(server.port, 0)[0] == 404
        writer.finish()
        assert get(server.port, 0)[0] == 404
        assert get(server.port, 2)[0] == 404
        assert get(server.port, 1)[0] == 200
        assert get(server.port, 999)[0] == 404
        assert get(server.port, 1, job="f" * 32)[0] == 404
        store.drop(1)
        assert get(server.port, 1)[0] == 404
        payload.fill(store, 1)
        store.discard()
        assert get(server.port, 1)[0] == 404
        payload.fill(payload.store(tmp_path), 1)
        assert get(server.port, 1)[0] == 200


def test_a_reader_who_is_quicker_than_the_word_that_the_shard_is_right_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path)
    writer = store.writer(0)
    writer.write(payload.shard(0))
    crc = writer.finish()
    with serving(tmp_path) as server:
        monkeypatch.setattr(serving_module, "_TRUST_SECONDS", PATIENCE)
        threading.Timer(0.1, store.mark_verified, (0, crc)).start()
        assert get(server.port, 0)[:2] == (200, payload.shard(0))


@pytest.mark.parametrize("path", ["/", "/v1/jobs/../shards/0", "/v1/jobs/x%2f/shards/0", "/etc/passwd", "/v1/jobs"])
def test_other_paths_lead_nowhere(tmp_path: Path, path: str) -> None:
    with serving(tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("GET", path)
        assert connection.getresponse().status == 404


def test_nothing_is_served_without_the_right_ticket(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path), 0, 1)
    good = ticket_for(0)
    late = make_ticket(KEY, JOB, 0, READER, int(time.time() * 1000) - 1)
    with serving(tmp_path) as server:
        assert get(server.port, 0, {})[0] == 401
        assert get(server.port, 0, {"Authorization": "Bearer x", "X-Fdist-Node": READER})[0] == 401
        for ticket, node in ((good, "gpu-03"), (ticket_for(1), READER), (late, READER), ("x", READER), (good, "")):
            assert get(server.port, 0, {"Authorization": f"Ticket {ticket}", "X-Fdist-Node": node})[0] == 403
        there = payload.store(tmp_path / "b")
        with pytest.raises(PeerFailed, match="status 403") as caught:
            fetch(PeerClient(), server.port, there, 0, ticket=late)
        assert caught.value.why == "ticket"


def test_tickets_end_by_the_clock_of_who_signed_them(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path), 0)
    now = int(time.time() * 1000)
    with serving(tmp_path) as server:
        server.clock_offset_ms = -3_600_000
        late_here = make_ticket(KEY, JOB, 0, READER, now - 1_800_000)
        assert get(server.port, 0, {"Authorization": f"Ticket {late_here}", "X-Fdist-Node": READER})[0] == 200
        server.clock_offset_ms = 3_600_000
        late_there = make_ticket(KEY, JOB, 0, READER, now + 1_800_000)
        assert get(server.port, 0, {"Authorization": f"Ticket {late_there}", "X-Fdist-Node": READER})[0] == 403


def test_a_refusal_keeps_the_connection_and_says_why(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"), 1)
    there, client = payload.store(tmp_path / "b"), PeerClient()
    with serving(tmp_path / "a") as server:
        with pytest.raises(NotHeld):
            fetch(client, server.port, there, 0)
        assert fetch(client, server.port, there, 1) == payload.digest(1)
        assert server.counters.connections == 1


def test_garbage_ends_the_connection(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for garbage in (
            b"\x16\x03\x01 hello\r\n\r\n",
            b"GET\r\n\r\n",
            b"A" * 9000,
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
                connection.sendall(garbage)
                assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
            assert connection.recv(100).startswith(b"HTTP/1.1 405 ")
            assert b"" in iter(lambda: connection.recv(1000), None)


def test_requests_sent_together_are_answered_in_order(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path), 0, 1)
    asks = [
        f"GET /v1/jobs/{JOB}/shards/{i} HTTP/1.1\r\nAuthorization: Ticket {ticket_for(i)}\r\n"
        f"X-Fdist-Node: {READER}\r\n{'Connection: close' if i else 'Accept: */*'}\r\n\r\n"
        for i in (0, 1)
    ]
    with serving(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall("".join(asks).encode())
        data = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert data.index(payload.shard(0)) < data.index(payload.shard(1))


def test_more_uploads_than_slots_wait_a_little_and_are_then_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = mixed_payload()
    source = payload.store(tmp_path / "a")
    payload.fill(source, 1)
    there = payload.store(tmp_path / "b")
    writer = source.writer(0)
    writer.write(payload.shard(0)[:10])
    with serving(tmp_path / "a", max_uploads=1) as server:
        slow = threading.Thread(target=fetch, args=(PeerClient(), server.port, there, 0), kwargs={"cut_through": True})
        slow.start()
        wait_until(lambda: server.counters.active == 1)
        with pytest.raises(PeerFailed) as caught:
            fetch(PeerClient(), server.port, there, 1)
        assert caught.value.why == "busy"
        monkeypatch.setattr(uploads, "_SLOT_SECONDS", PATIENCE)
        finisher = threading.Timer(0.3, writer.write, (payload.shard(0)[10:],))
        finisher.start()
        assert fetch(PeerClient(), server.port, there, 1) == payload.digest(1)
        slow.join(PATIENCE)


def test_a_transfer_that_was_cut_goes_on_at_the_byte_reached(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    there, client = payload.store(tmp_path / "b"), PeerClient()
    got: list[int] = []
    with serving(tmp_path / "a", rate_bits=1_000_000) as server:
        with pytest.raises(Cancelled):
            fetch(client, server.port, there, 0, on_bytes=got.append, cancelled=lambda: sum(got) > 10_000)
        partly = there.received(0)
        assert 10_000 < partly == sum(got) < 64_000
        server.limiter.set_rate(None)
        got.clear()
        assert fetch(client, server.port, there, 0, on_bytes=got.append) == payload.digest(0)
        assert sum(got) == 64_000 - partly


def test_a_cancelled_transfer_ends_at_once_even_when_nothing_comes(tmp_path: Path) -> None:
    payload = mixed_payload()
    source = payload.store(tmp_path / "a")
    writer = source.writer(0)
    writer.write(payload.shard(0)[:100])
    there = payload.store(tmp_path / "b")

    def cancel(_: int) -> None:
        began = time.monotonic()
        with pytest.raises(Cancelled):
            fetch(
                PeerClient(), server.port, there, 0, cut_through=True, cancelled=lambda: time.monotonic() - began > 0.3
            )

    with serving(tmp_path / "a", max_uploads=100) as server:
        assert quickest(cancel, 2) < 2


def test_bytes_are_passed_on_while_they_arrive(tmp_path: Path) -> None:
    """A chain of three: what the first writes is on the third's disk within milliseconds."""
    payload = mixed_payload()
    shard = 5  # crosses files
    first, second, third = (payload.store(tmp_path / name) for name in "abc")
    writer = first.writer(shard)
    data = payload.shard(shard)
    crcs: dict[str, int] = {}

    def run(name: str, port: int) -> None:
        store = {"b": second, "c": third}[name]
        crcs[name] = fetch(PeerClient(), port, store, shard, cut_through=True)

    with serving(tmp_path / "a") as a, serving(tmp_path / "b") as b:
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


def test_a_reader_may_ask_before_the_job_is_there(tmp_path: Path) -> None:
    payload = mixed_payload()
    there = payload.store(tmp_path / "b")
    with serving(tmp_path / "a") as server:
        threading.Timer(0.3, lambda: payload.fill(payload.store(tmp_path / "a"), 3)).start()
        assert fetch(PeerClient(), server.port, there, 3, cut_through=True) == payload.digest(3)


def test_a_cut_through_whose_source_stops_ends_short_and_is_resumed(tmp_path: Path) -> None:
    payload = mixed_payload()
    source, there = payload.store(tmp_path / "a"), payload.store(tmp_path / "b")
    writer = source.writer(0)
    writer.write(payload.shard(0)[:30_000])
    with serving(tmp_path / "a", stall_after=0.4) as server:
        with pytest.raises(PeerFailed) as caught:
            fetch(PeerClient(), server.port, there, 0, cut_through=True)
        assert caught.value.why == "short"
        assert there.received(0) == 30_000
        writer.write(payload.shard(0)[30_000:])
        assert fetch(PeerClient(), server.port, there, 0, cut_through=True) == payload.digest(0)


def test_bytes_of_a_shard_that_was_dropped_on_the_way_are_not_kept(tmp_path: Path) -> None:
    payload = mixed_payload()
    source, there = payload.store(tmp_path / "a"), payload.store(tmp_path / "b")
    writer = source.writer(0)
    writer.write(bytes(30_000))
    with serving(tmp_path / "a") as server, pytest.raises(PeerFailed) as caught:
        fetch(PeerClient(), server.port, there, 0, cut_through=True, on_bytes=lambda _: writer.abort(False))
    assert caught.value.why == "reset"
    assert there.received(0) == 0


def test_the_last_bytes_of_a_shard_do_not_wait(tmp_path: Path) -> None:
    """Readers sleep until many bytes have come; the end of a shard, however small, must wake them all the same."""
    payload = Payload({"a": (1 + 2 * TRIES) * 300_000}, 300_000)
    payload.fill(payload.store(tmp_path / "a"))
    there, client = payload.store(tmp_path / "b"), PeerClient()
    with serving(tmp_path / "a", rate_bits=100_000_000) as server:
        fetch(client, server.port, there, 2 * TRIES)
        for cut_through in (False, True):

            def read(number: int, cut_through: bool = cut_through) -> None:
                fetch(client, server.port, there, number + cut_through * TRIES, cut_through=cut_through)

            assert quickest(read, 0.024 + 0.07) < 0.024 + 0.07


def test_the_caps_of_sender_and_receiver_hold(tmp_path: Path) -> None:
    payload = Payload({"a": 2 * TRIES * 500_000}, 500_000)
    payload.fill(payload.store(tmp_path / "a"))
    there = payload.store(tmp_path / "b")
    with serving(tmp_path / "a", rate_bits=10_000_000) as server:
        assert 0.3 < quickest(lambda number: fetch(PeerClient(), server.port, there, number), 0.8) < 0.8
        server.limiter.set_rate(0)

        def capped(number: int) -> None:
            fetch(PeerClient(), server.port, there, TRIES + number, limiter=TokenBucket(10_000_000))

        assert 0.3 < quickest(capped, 0.8) < 0.8


def test_a_kept_connection_that_the_peer_closed_is_replaced_quietly(tmp_path: Path) -> None:
    payload = mixed_payload()
    payload.fill(payload.store(tmp_path / "a"))
    there, client = payload.store(tmp_path / "b"), PeerClient()
    with serving(tmp_path / "a") as server:
        fetch(client, server.port, there, 0)
        client._pool.idle()[0].shutdown(socket.SHUT_RDWR)
        assert fetch(client, server.port, there, 1) == payload.digest(1)


def test_healthz_tells_the_counters(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("GET", "/healthz")
        assert json.loads(connection.getresponse().read())["connections"] == 1


def test_a_shard_that_was_damaged_on_the_disk_has_another_digest(tmp_path: Path) -> None:
    payload = mixed_payload()
    store = payload.store(tmp_path / "a")
    payload.fill(store)
    store.finish_files()
    descriptor = os.open(tmp_path / "a/models/m/big-0.bin", os.O_WRONLY)
    os.pwrite(descriptor, b"!", 64_000 + 17)
    os.close(descriptor)
    there = payload.store(tmp_path / "b")
    with serving(tmp_path / "a") as server:
        assert fetch(PeerClient(), server.port, there, 1) != payload.digest(1)
        assert store.reverify([1]) == {}
        with pytest.raises(NotHeld):
            there.drop(1)
            fetch(PeerClient(), server.port, there, 1)


def wait_until(condition, seconds: float = PATIENCE) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.0005)


def refuses(*_: int) -> int:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("damage", ["deleted", "cut", "unreadable"])
def test_bytes_that_the_disk_does_not_give_any_more_are_told_of(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = mixed_payload()
    source, target = payload.store(tmp_path / "a"), payload.store(tmp_path / "b")
    payload.fill(source)
    assert source.finish_files() == []
    file = tmp_path / "a/models/m/big-0.bin"
    if damage == "deleted":
        file.unlink()
    elif damage == "cut":
        os.truncate(file, 70_000)
    else:
        monkeypatch.setattr(wire, "file_sender", lambda connection: refuses)
    told: list[tuple[str, int]] = []
    with (
        serving(tmp_path / "a", unreadable=lambda job, shard: told.append((job, shard))) as server,
        pytest.raises(PeerFailed) as caught,
    ):
        fetch(PeerClient(), server.port, target, 1)
    assert caught.value.why == "reset"
    assert target.received(1) == 0
    assert set(told) == {(JOB, 1)}
