"""Nothing wrong ever lands: bad peers, a bad first read, bytes that rot, objects that change, disks that refuse."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.fleet import BUCKET, MB, Fleet, wait_until
from tests.agent.rogue import Lie, rogue
from tests.dataplane.faultproxy import Fault, FaultProxy, faulty

SLOW = 64_000_000  # bit/s: 8 shards of 1 MiB a second


def answer(body: bytes, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def flips(connection: socket.socket, shard: bytes, other: bytes) -> None:
    connection.sendall(answer(shard[:-1] + bytes([shard[-1] ^ 1])))


def sends_another(connection: socket.socket, shard: bytes, other: bytes) -> None:
    connection.sendall(answer(other))


def truncates(connection: socket.socket, shard: bytes, other: bytes) -> None:
    connection.sendall(answer(shard[:5000], len(shard)))
    connection.shutdown(socket.SHUT_RDWR)


def sends_too_much(connection: socket.socket, shard: bytes, other: bytes) -> None:
    connection.sendall(answer(shard + other))


def talks_garbage(connection: socket.socket, shard: bytes, other: bytes) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def stalls(connection: socket.socket, shard: bytes, other: bytes) -> None:
    connection.sendall(answer(shard[:5000], len(shard)))


@pytest.fixture
def proxy(fleet: Fleet) -> Iterator[FaultProxy]:
    """Between the fleet and its bucket."""
    with faulty(fleet.gcs.endpoint) as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The data directory of n2, on a file system of 100 MiB that can be made read-only."""
    folder = tmp_path / "n2"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def unwritable() -> Iterator[Callable[[Path], None]]:
    """Makes a folder one in which nothing can be made, for root as well."""
    locked: list[Path] = []

    def lock(folder: Path) -> None:
        if subprocess.run(["chattr", "+i", str(folder)], check=False, capture_output=True).returncode:
            pytest.skip("only root can make a folder immutable, on a file system that has that")
        locked.append(folder)

    yield lock
    for folder in locked:
        subprocess.run(["chattr", "-i", str(folder)], check=True)


@pytest.mark.parametrize(
    ("lie", "kind", "whys"),
    [
        (flips, "corrupt", {"digest"}),
        (sends_another, "corrupt", {"digest"}),
        (truncates, "failed", {"short"}),
        (sends_too_much, "failed", {"garbage"}),
        (talks_garbage, "failed", {"garbage"}),
        # late: before the limit of silence, as the shard comes sooner from a node whose pace is known (lib/rescue.lua)
        (stalls, "failed", {"stalled", "late"}),
    ],
    ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""),
)
def test_a_lying_peer_is_blamed_and_avoided_and_the_job_gets_right_bytes(
    fleet: Fleet, lie: Lie, kind: str, whys: set[str]
) -> None:
    payload = fleet.payload({"a": 8 * MB})
    with rogue(fleet, payload, lie, "liar") as liar:  # the first node is the first to be asked
        fleet.start_all(["n1"])
        job = fleet.submit(payload, ["n1"])
        fleet.wait_state(job, "complete")
        liar.hold_all(job, "liar")
        fleet.start("n2", upload_slots=0)
        fleet.scheduler.enrol(job, ["n2"])
        fleet.jobs[job][2].append("n2")
        wait_until(lambda: node_is(fleet, job, "n2", "done"), 60, "n2 to be done")
        fleet.check(job, payload)
        told = [e.fields for e in fleet.scheduler.events("0") if e.kind == kind and e.fields.get("source") == "liar"]
        assert {event["why"] for event in told} <= whys
        assert 1 <= len(told) <= liar.asked <= 8
        from_bucket = fleet.scheduler.job(job)
        assert from_bucket is not None and from_bucket.bytes_gcs == payload.layout.size  # what n1 read


def node_is(fleet: Fleet, job: str, node: str, state: str) -> bool:
    return any(each.node == node and each.state == state for each in fleet.scheduler.job_nodes(job))


def test_a_peer_that_alone_has_the_shards_and_only_lies_is_replaced_by_the_bucket(fleet: Fleet) -> None:
    payload = fleet.payload({"a": 6 * MB})
    job = fleet.submit(payload, [])
    with rogue(fleet, payload, flips, "liar") as liar:
        liar.hold_all(job, "liar")
        fleet.start("n1")
        fleet.scheduler.enrol(job, ["n1"])
        fleet.jobs[job][2].append("n1")
        wait_until(lambda: node_is(fleet, job, "n1", "done"), 60, "n1 to be done")
        fleet.check(job, payload)
        barred = {node.name for node in fleet.scheduler.nodes() if node.barred}
        assert barred == {"liar"}


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_a_bad_first_read_does_not_poison_the_fleet(fleet: Fleet, proxy: FaultProxy, topology: str) -> None:
    """A bit of the first read is wrong, and so is the first digest: all agree on bytes that are not the bucket's."""
    nodes = ["n1", "n2", "n3"]
    proxy.faults.append(Fault(flip=1000))
    fleet.start_all(nodes, gcs_endpoint=proxy.endpoint)
    payload = fleet.payload({"a": 6 * MB, "b": 2 * MB})
    job = fleet.submit(payload, nodes, topology)
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    view = fleet.scheduler.job(job)
    assert view is not None
    # The shards of the file that was wrong are read once more, but for reads that were under way meanwhile.
    assert view.bytes_gcs <= payload.layout.size + 6 * MB + 3 * MB
    assert any(event.kind == "disputed" for event in fleet.scheduler.events("0"))


def test_a_bad_read_of_a_whole_object_is_noticed_before_anybody_is_told(fleet: Fleet, proxy: FaultProxy) -> None:
    """Its sum is the bucket's own, so there is nothing to dispute."""
    proxy.faults.append(Fault(flip=1000))
    fleet.start_all(["n1", "n2"], gcs_endpoint=proxy.endpoint)
    payload = fleet.payload({f"part-{i}": 300_000 for i in range(3)})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    kinds = [event.kind for event in fleet.scheduler.events("0")]
    assert "corrupt" in kinds and "disputed" not in kinds


def test_a_bucket_in_trouble_costs_time_and_no_byte_twice(fleet: Fleet, proxy: FaultProxy) -> None:
    faults = [Fault(status=429), Fault(status=503), Fault(status=500), Fault(after=300_000, then="reset")]
    faults += [Fault(after=300_000, then="close"), Fault(header=("Content-Range", "bytes 7-1048582/8388608"))]
    proxy.faults.extend(faults)
    fleet.start_all(["n1", "n2"], gcs_endpoint=proxy.endpoint)
    payload = fleet.payload({"a": 8 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    assert not proxy.faults
    fleet.assert_read_once(job, payload)


def test_an_object_deleted_in_the_middle_fails_the_job_with_that_reason(fleet: Fleet) -> None:
    fleet.start_all(["n1"], gcs_rate=SLOW)
    payload = fleet.payload({"a": 16 * MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_held(job, "n1", 2)
    origin = payload.layout.objects[0]
    fleet.gcs.client().bucket(BUCKET).blob(origin.name).delete()
    fleet.wait_state(job, "failed")
    view = fleet.scheduler.job(job)
    assert view is not None
    assert f"gs://{BUCKET}/{origin.name} is no longer in the bucket as it was when the job was planned" in view.reason
    assert not (fleet.root / "n1/models/m1/a").exists()


def test_bytes_that_rot_before_they_are_served_are_noticed_and_their_holder_repairs_itself(fleet: Fleet) -> None:
    fleet.start_all(["n1", "n2"])
    payload = fleet.payload({"a": 6 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    read = fleet.scheduler.job(job)
    rotten = fleet.root / "n1/models/m1/a"
    with rotten.open("r+b") as file:
        for shard in range(6):
            file.seek(shard * MB + 500)
            file.write(b"rot")
    fleet.scheduler.set_caps("n2", upload_slots=0)  # the first reader can ask the rotten one alone
    fleet.start("n3")
    fleet.scheduler.enrol(job, ["n3"])
    fleet.jobs[job][2].append("n3")
    wait_until(lambda: any(e.kind == "corrupt" for e in fleet.scheduler.events("0")), what="the reader to notice")
    fleet.scheduler.set_caps("n2", upload_slots=2)
    wait_until(lambda: node_is(fleet, job, "n3", "done"), 60, "n3 to be done")
    right = payload.contents["a"]
    wait_until(lambda: rotten.exists() and rotten.read_bytes() == right, 60, "n1 to repair itself")
    wait_until(lambda: node_is(fleet, job, "n1", "done"), 60, "n1 to be done again")
    fleet.check(job, payload)
    told = [event.fields for event in fleet.scheduler.events("0") if event.kind == "corrupt"]
    assert {event["source"] for event in told} == {"n1"}
    after = fleet.scheduler.job(job)
    assert read is not None and after is not None
    assert after.bytes_gcs == read.bytes_gcs  # repaired from its peers


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 5 * MB)], ids=["deleted", "cut"])
def test_a_file_that_vanished_under_a_reader_comes_back_to_its_holder(
    fleet: Fleet, damage: Callable[[Path], None]
) -> None:
    fleet.start_all(["n1", "n2"])
    payload = fleet.payload({"a": 6 * MB, "b": 2 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    gone = fleet.root / "n1/models/m1/a"
    right = gone.read_bytes()
    damage(gone)
    fleet.scheduler.set_caps("n2", upload_slots=0)  # the first reader can ask the one whose file is gone alone
    fleet.start("n3")
    fleet.scheduler.enrol(job, ["n3"])
    fleet.jobs[job][2].append("n3")
    wait_until(lambda: any(e.kind == "failed" for e in fleet.scheduler.events("0")), what="the reader to notice")
    fleet.scheduler.set_caps("n2", upload_slots=2)
    wait_until(lambda: gone.exists() and gone.read_bytes() == right, 60, "n1 to repair itself")
    wait_until(lambda: node_is(fleet, job, "n3", "done"), 60, "n3 to be done")
    wait_until(lambda: node_is(fleet, job, "n1", "done"), 60, "n1 to be done again")
    fleet.check(job, payload)


def test_verifying_some_shards_reads_no_others_unless_there_is_damage(fleet: Fleet) -> None:
    """As when one of them is said to be damaged, out of thousands."""
    fleet.start_all(["n1", "n2"])
    payload = fleet.payload({"a": 6 * MB, "b": 2 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    local = fleet.agents["n1"].book.get(job)
    assert local is not None
    read: list[int] = []
    prove = local.store._prove
    local.store._prove = lambda shard, cancelled: read.append(shard) or prove(shard, cancelled)  # type: ignore
    fleet.scheduler.order("n1", {"op": "verify", "job": job, "shards": [3, 7, 99]})
    wait_until(lambda: sorted(read) == [3, 7], what="two shards to be read")
    rotten = fleet.root / "n1/models/m1/a"
    with rotten.open("r+b") as file:
        for shard in (2, 4):
            file.seek(shard * MB + 500)
            file.write(b"rot")
    fleet.scheduler.order("n1", {"op": "verify", "job": job, "shards": [4]})
    right = payload.contents["a"]
    wait_until(lambda: rotten.exists() and rotten.read_bytes() == right, what="the whole file to be repaired")
    assert set(read) == {0, 1, 2, 3, 4, 5, 7}


def test_other_content_at_the_destination_is_replaced_whole(fleet: Fleet) -> None:
    fleet.start_all(["n1"], gcs_rate=SLOW)
    old = fleet.root / "n1/models/m1"
    old.mkdir(parents=True)
    (old / "a").write_bytes(b"old" * MB)
    (old / "notes").write_text("not of the job")
    payload = fleet.payload({"a": 3 * MB, "b": MB})
    job = fleet.submit(payload, ["n1"])
    fleet.wait_held(job, "n1", 1)
    assert (old / "a").read_bytes() == b"old" * MB
    fleet.wait_state(job, "complete")
    fleet.check(job, payload)
    assert (old / "notes").read_text() == "not of the job"


def test_nodes_whose_files_a_newer_job_replaced_leave_the_older_one_and_keep_the_newer_files(fleet: Fleet) -> None:
    """A model of the same shape, whose files have the same sizes, was pushed to the same folder."""
    fleet.start_all(["n1", "n2"])
    old = fleet.payload({"a": 3 * MB, "b": MB})
    job = fleet.submit(old, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    new = fleet.payload({"a": 3 * MB, "b": MB}, seed=2)
    newer = fleet.submit(new, ["n1", "n2"])
    fleet.wait_state(newer, "complete")
    fleet.start("n3")
    fleet.scheduler.enrol(job, ["n3"])  # who reads other bytes than the older job's from both
    wait_until(lambda: node_is(fleet, job, "n3", "done"), 60, "n3 to be done")
    old.check(fleet.root / "n3", "models/m1")
    wait_until(
        lambda: any(node_is(fleet, job, name, "failed") for name in ("n1", "n2")), what="a node to leave the job"
    )
    why = next(event.fields["why"] for event in fleet.scheduler.events("0") if event.kind == "node_failed")
    assert f"was put there by job {newer} after job {job}" in why
    fleet.check(newer, new)


def test_a_job_larger_than_the_disk_fails_there_with_the_figures_and_the_others_go_on(
    fleet: Fleet, small_disk: Path
) -> None:
    fleet.start_all(["n1", "n2"])
    payload = fleet.payload({"a": 64 * MB}, shard_size=8 * MB)
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    payload.check(fleet.root / "n1", "models/m1")
    why = next(e.fields["why"] for e in fleet.scheduler.events("0") if e.kind == "node_failed")
    assert "free and job" in why and "needs 67.11 MB" in why and str(small_disk) in why
    assert not (small_disk / "models").exists()


def test_a_data_directory_that_turns_read_only_fails_the_node_with_that_reason(
    fleet: Fleet, unwritable: Callable[[Path], None]
) -> None:
    fleet.start_all(["n1", "n2"])
    unwritable(fleet.root / "n2/.fdist/jobs")
    payload = fleet.payload({"a": 2 * MB})
    job = fleet.submit(payload, ["n1", "n2"])
    fleet.wait_state(job, "complete")
    payload.check(fleet.root / "n1", "models/m1")
    why = next(e.fields["why"] for e in fleet.scheduler.events("0") if e.kind == "node_failed")
    assert "read-only" in why
