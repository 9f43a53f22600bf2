"""Shards from a real bucket server, and through a proxy that breaks its answers in every way that buckets do."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.timing import quickest
from transfers.dataplane.gcs import GcsSource, open_session
from transfers.dataplane.layout import Layout
from transfers.dataplane.ratelimit import TokenBucket
from transfers.dataplane.store import JobStore
from transfers.errors import Cancelled, SourceBusy, SourceChanged, SourceRefused

from .faultproxy import Fault, FaultProxy, faulty
from .payloads import Payload, mixed_payload


class Uploaded:
    """A payload whose objects are in a bucket of their own."""

    def __init__(self, gcs: Any, payload: Payload) -> None:
        self.payload = payload
        self.gcs = gcs
        self.bucket = f"w-{uuid.uuid4().hex[:12]}"
        gcs.bucket(self.bucket)
        objects = []
        for origin, (name, data) in zip(payload.layout.objects, payload.data.items(), strict=True):
            blob = gcs.put(self.bucket, origin.name, data)
            objects.append(replace(origin, bucket=self.bucket, generation=blob.generation))
            assert data == payload.data[name]
        payload.layout = Layout(tuple(objects), payload.layout.files, payload.layout.shard_size)


@pytest.fixture(scope="module")
def mixed(gcs: Any) -> Uploaded:
    return Uploaded(gcs, mixed_payload())


@pytest.fixture(scope="module")
def big(gcs: Any) -> Uploaded:
    return Uploaded(gcs, Payload({"big.bin": 6_000_000}, 3_000_000))


@pytest.fixture
def proxy(gcs: Any) -> Iterator[FaultProxy]:
    with faulty(gcs.endpoint) as running:
        yield running


def source(endpoint: str, **options: float) -> GcsSource:
    """One that waits for longer than any busy machine is silent, unless told otherwise."""
    return GcsSource(open_session(endpoint=endpoint), **{"stall_after": 60.0, "give_up_after": 100.0} | options)


def read(bucket: GcsSource, store: JobStore, shard: int, **options: Any) -> int:
    writer = store.writer(shard, store.received(shard))
    try:
        return bucket.read_shard(store.layout, shard, writer, **options)
    finally:
        writer.abort()


def test_a_job_comes_out_of_the_bucket(mixed: Uploaded, tmp_path: Path, proxy: FaultProxy) -> None:
    store = mixed.payload.store(tmp_path)
    bucket = source(proxy.endpoint)
    counted: list[int] = []
    for shard in range(store.layout.shard_count):
        crc = read(bucket, store, shard, on_bytes=counted.append)
        assert crc == mixed.payload.digest(shard)
        store.mark_verified(shard, crc)
    assert sum(counted) == store.layout.size
    assert store.finish_files() == []
    mixed.payload.check_placed(tmp_path / "models/m")
    assert proxy.connections <= 9  # one for the big ranges, the others for what is read ahead
    assert len(proxy.requests) == sum(len(store.layout.object_segments(s)) for s in range(store.layout.shard_count))


def test_the_environment_names_the_emulator(mixed: Uploaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", mixed.gcs.endpoint)
    access = open_session()
    assert read(GcsSource(access), mixed.payload.store(tmp_path), 0) == mixed.payload.digest(0)
    assert access.client().bucket(mixed.bucket).get_blob("m/big-0.bin").size == 300_000


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=500),
        Fault(status=429, retry_after=1),
        Fault(status=408),
        Fault(after=1_000_000, then="reset"),
        Fault(after=1_000_000, then="close"),
        Fault(after=1_000_000, then="stall"),
        Fault(after=1_000_000, then="drip"),
        Fault(after=0, then="reset"),
        Fault(silent=True),
        Fault(header=("Content-Range", "bytes 1-3000000/6000000")),
        Fault(header=("Content-Range", "bytes 0-2999999/6000001")),
        Fault(header=("Content-Length", "2999999")),
    ],
    ids=str,
)
def test_a_broken_answer_is_taken_up_at_the_byte_reached(
    big: Uploaded, tmp_path: Path, proxy: FaultProxy, fault: Fault
) -> None:
    stall_after = 1.0 if fault.then == "drip" else 2.0 if fault.then == "stall" or fault.silent else 60.0

    def outlive(number: int) -> None:
        proxy.faults.append(fault)
        proxy.requests.clear()
        store = big.payload.store(tmp_path / str(number))
        counted: list[int] = []
        bucket = source(proxy.endpoint, stall_after=stall_after, min_rate=100_000)
        assert read(bucket, store, 0, on_bytes=counted.append) == big.payload.digest(0)
        assert sum(counted) == 3_000_000
        assert len(proxy.requests) == 2
        if fault.after > 0 and fault.then not in ("reset", "drip"):
            assert proxy.requests[1] == "bytes=1000000-2999999"

    assert quickest(outlive, 6) < 6


def test_many_faults_in_a_row_are_outlived_while_bytes_come(big: Uploaded, tmp_path: Path, proxy: FaultProxy) -> None:
    proxy.faults.extend(Fault(after=150_000, then="close") for _ in range(15))
    store = big.payload.store(tmp_path)
    assert read(source(proxy.endpoint, give_up_after=0.5), store, 1) == big.payload.digest(1)


def test_a_bucket_that_keeps_refusing_is_busy_and_what_came_is_kept(
    big: Uploaded, tmp_path: Path, proxy: FaultProxy
) -> None:
    proxy.faults.append(Fault(after=1_000_000, then="close"))
    proxy.always = Fault(status=503)
    store = big.payload.store(tmp_path)
    with pytest.raises(SourceBusy, match=r"from byte 1000000 on .* 503"):
        read(source(proxy.endpoint, give_up_after=0.5), store, 0)
    assert store.received(0) == 1_000_000
    proxy.always = None
    proxy.requests.clear()
    assert read(source(proxy.endpoint), store, 0) == big.payload.digest(0)
    assert proxy.requests == ["bytes=1000000-2999999"]


def test_a_bucket_that_is_not_there_is_busy(big: Uploaded, tmp_path: Path) -> None:
    with faulty(big.gcs.endpoint) as proxy:
        endpoint = proxy.endpoint
    with pytest.raises(SourceBusy):
        read(source(endpoint, give_up_after=0.4), big.payload.store(tmp_path), 0)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_clear_no_is_not_asked_again(big: Uploaded, tmp_path: Path, proxy: FaultProxy, status: int) -> None:
    proxy.always = Fault(status=status)
    with pytest.raises(SourceRefused, match=f"status {status}: fault"):
        read(source(proxy.endpoint), big.payload.store(tmp_path), 0)
    assert len(proxy.requests) == 1


def test_an_object_that_was_overwritten_is_noticed_at_once(gcs: Any, tmp_path: Path) -> None:
    changing = Uploaded(gcs, Payload({"a": 100_000}, 50_000))
    store = changing.payload.store(tmp_path)
    bucket = source(gcs.endpoint)
    assert read(bucket, store, 0) == changing.payload.digest(0)
    gcs.put(changing.bucket, "m/a", bytes(100_000))

    def ask(_: int) -> None:
        with pytest.raises(SourceChanged, match=f"gs://{changing.bucket}/m/a"):
            read(bucket, store, 1)

    assert quickest(ask, 2) < 2


def test_an_object_that_was_deleted_is_noticed_at_once(gcs: Any, tmp_path: Path) -> None:
    changing = Uploaded(gcs, Payload({"a": 100_000}, 50_000))
    gcs.client().bucket(changing.bucket).blob("m/a").delete()
    with pytest.raises(SourceChanged):
        read(source(gcs.endpoint), changing.payload.store(tmp_path), 0)


def test_an_answer_of_another_generation_is_refused(big: Uploaded, tmp_path: Path, proxy: FaultProxy) -> None:
    proxy.always = Fault(header=("X-Goog-Generation", "12345"))
    with pytest.raises(SourceChanged, match="generation 12345"):
        read(source(proxy.endpoint), big.payload.store(tmp_path), 0)


@pytest.mark.parametrize(
    "fault",
    [Fault(after=1_000_000, then="stall"), Fault(silent=True), Fault(status=503)],
    ids=["body", "head", "pause"],
)
def test_a_cancelled_read_ends_at_once_wherever_it_waits(
    big: Uploaded, tmp_path: Path, proxy: FaultProxy, fault: Fault
) -> None:
    proxy.always = fault

    def cancel(number: int) -> None:
        began = time.monotonic()
        with pytest.raises(Cancelled):
            read(
                source(proxy.endpoint),
                big.payload.store(tmp_path / str(number)),
                0,
                cancelled=lambda: time.monotonic() - began > 0.3,
            )

    assert quickest(cancel, 2.5) < 2.5


def test_a_cancelled_read_of_many_small_objects_ends_at_once(
    mixed: Uploaded, tmp_path: Path, proxy: FaultProxy
) -> None:
    proxy.always = Fault(silent=True)
    store = mixed.payload.store(tmp_path)

    def cancel(_: int) -> None:
        began = time.monotonic()
        with pytest.raises(Cancelled):
            read(
                source(proxy.endpoint),
                store,
                store.layout.shard_count - 1,
                cancelled=lambda: time.monotonic() - began > 0.3,
            )

    assert quickest(cancel, 2.5) < 2.5


def test_small_objects_survive_faults_in_their_order(mixed: Uploaded, tmp_path: Path, proxy: FaultProxy) -> None:
    proxy.faults.extend([Fault(status=503), Fault(after=10, then="close"), Fault(), Fault(after=0, then="reset")])
    store = mixed.payload.store(tmp_path)
    shard = store.layout.shard_count - 1
    assert read(source(proxy.endpoint), store, shard) == mixed.payload.digest(shard)


def test_a_missing_object_among_small_ones_ends_the_shard(gcs: Any, tmp_path: Path) -> None:
    small = Uploaded(gcs, Payload({f"s{i:02}": 1_000 for i in range(20)}, 50_000))
    gcs.client().bucket(small.bucket).blob("m/s13").delete()
    with pytest.raises(SourceChanged, match="m/s13"):
        read(source(gcs.endpoint), small.payload.store(tmp_path), 0)


def test_the_cap_of_the_bucket_holds_and_does_not_look_like_a_slow_bucket(big: Uploaded, tmp_path: Path) -> None:

    def capped(number: int) -> None:
        crc = read(
            source(big.gcs.endpoint, stall_after=0.2, min_rate=10_000_000),
            big.payload.store(tmp_path / str(number)),
            0,
            bucket_limiter=TokenBucket(24_000_000),
        )
        assert crc == big.payload.digest(0)

    assert 0.9 < quickest(capped, 2) < 2


def test_names_with_odd_characters_are_read(gcs: Any, tmp_path: Path) -> None:
    odd = Uploaded(gcs, Payload({"a b/ü?#%2F&x.bin": 10_000, "plain": 10}, 50_000))
    assert read(source(gcs.endpoint), odd.payload.store(tmp_path), 0) == odd.payload.digest(0)


def test_the_emulator_itself_pins_generations(big: Uploaded) -> None:
    """What the tests above rest on."""
    generation: Callable[[int], str] = lambda extra: str(big.payload.layout.objects[0].generation + extra)  # noqa: E731
    url = f"{big.gcs.endpoint}/download/storage/v1/b/{big.bucket}/o/m%2Fbig.bin"
    for extra, status in ((0, 206), (1, 404)):
        answer = requests.get(
            url, params={"alt": "media", "generation": generation(extra)}, headers={"Range": "bytes=0-9"}, timeout=60
        )
        assert answer.status_code == status
