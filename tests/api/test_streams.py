"""Server-sent events over REST: what a program gets that follows a job or the fleet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AbstractUser, Permission
from django.db import OperationalError
from django.test import AsyncClient
from knox.models import AuthToken

from tests.site_fixtures import Fleet, fold
from transfers import submission
from transfers.links import Links
from transfers.live import hub, subjects
from transfers.models import Job, JobEvent

pytestmark = pytest.mark.django_db(transaction=True)
FLEET = "/api/v1/stream/"


@dataclass
class Message:
    event: str
    data: dict[str, Any]
    id: int | None


class Reader:
    """Reads a stream as a program would."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._waiting: list[Message] = []

    async def next(self) -> Message:
        while not self._waiting:
            text = (await asyncio.wait_for(anext(self._parts), 20)).decode()
            self._waiting = [message for block in text.split("\n\n") if (message := parse(block))]
        return self._waiting.pop(0)

    async def until(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """Everything up to and with the first message that is wanted."""
        found = [await self.next()]
        while not wanted(found[-1]):
            found.append(await self.next())
        return found


def parse(block: str) -> Message | None:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
    if "data" not in fields:
        return None
    return Message(fields["event"], json.loads(fields["data"]), int(fields["id"]) if "id" in fields else None)


def named(event: str) -> Callable[[Message], bool]:
    return lambda message: message.event == event


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(hub, "BUSY_PART", 1.0)
    monkeypatch.setattr(subjects, "SETTLED_SECONDS", 0.1)


@pytest.fixture
def token(admin: AbstractUser) -> str:
    return str(AuthToken.objects.create(admin)[1])


@pytest.fixture
def job(fleet: Fleet, payload: str) -> Job:
    fleet.add("gpu-01", "gpu-02")
    return submission.submit({"source": payload, "name": "llama"})


def address(job: Job) -> str:
    return f"/api/v1/jobs/{job.pk}/stream/"


@asynccontextmanager
async def following(token: str, place: str, **headers: str) -> AsyncIterator[Reader]:
    answer = await AsyncClient().get(
        place, headers={"Authorization": f"Token {token}", "Accept": "text/event-stream", **headers}
    )
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "text/event-stream"
    parts: Any = answer.streaming_content  # type: ignore[attr-defined]
    try:
        yield Reader(parts)
    finally:
        await parts.aclose()


def patiently(act: Callable[..., object], *args: object) -> None:
    """The tests' database in memory has no readers beside a writer: whoever meets one tries again."""
    for _ in range(100):
        try:
            act(*args)
        except OperationalError:
            continue
        return
    act(*args)


def work(fleet: Fleet, links: Links, job: Job) -> None:
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    patiently(fold, links)


def test_a_job_is_followed_from_its_start_to_its_end(token: str, job: Job, fleet: Fleet, links: Links) -> None:
    async def follow() -> list[Message]:
        async with following(token, address(job)) as reader:
            found = [await reader.next()]
            await sync_to_async(work)(fleet, links, job)
            return found + await reader.until(named("end"))

    start, *rest, end = async_to_sync(follow)()
    assert start.event == "start"
    assert start.data["about"]["name"] == "llama"
    assert start.data["names"] == ["gpu-01", "gpu-02"]
    assert end.event == "end"
    last = [message for message in rest if message.event == "update"][-1]
    assert last.data["job"]["state"] == "complete"
    happened = [message for message in rest if message.event == "happened"]
    assert [(m.data["kind"], m.data["node"]) for m in happened].count(("node_done", "gpu-01")) == 1
    assert [m.data["state"] for m in happened if m.data["kind"] == "job_state"][-1] == "complete"
    assert [m.id for m in happened] == list(JobEvent.objects.values_list("id", flat=True))
    assert not hub._hubs, "nobody listens, nobody reads"


def test_a_reader_that_comes_back_gets_what_it_missed_and_no_more(
    token: str, job: Job, fleet: Fleet, links: Links
) -> None:
    work(fleet, links, job)
    ids = list(JobEvent.objects.filter(job=job).values_list("id", flat=True))
    assert len(ids) > 3

    async def seen(query: str = "", **headers: str) -> list[int | None]:
        async with following(token, address(job) + query, **headers) as reader:
            return [m.id for m in await reader.until(named("end")) if m.event == "happened"]

    read = async_to_sync(seen)
    assert read() == []
    assert read("?after=0") == ids
    assert read(**{"Last-Event-ID": str(ids[1])}) == ids[2:]
    assert read("?after=0", **{"Last-Event-ID": str(ids[-1])}) == []


def test_the_id_of_the_start_is_where_a_reader_that_saw_no_event_goes_on(
    token: str, job: Job, fleet: Fleet, links: Links
) -> None:
    fold(links)

    async def place() -> int | None:
        async with following(token, address(job)) as reader:
            return (await reader.next()).id

    assert async_to_sync(place)() == JobEvent.objects.last().id  # type: ignore[union-attr]


def test_the_fleet_is_followed_with_its_open_jobs(token: str, job: Job, fleet: Fleet, links: Links) -> None:
    async def follow() -> list[Message]:
        async with following(token, FLEET) as reader:
            found = [await reader.next()]
            await sync_to_async(fleet.add)("gpu-03")
            found += await reader.until(lambda m: "gpu-03" in m.data.get("names", []))
            await sync_to_async(patiently)(submission.cancel, job, "enough", links)
            await sync_to_async(patiently)(fold, links)
            found += await reader.until(lambda m: m.event == "happened" and m.data["state"] == "cancelled")
            return found + await reader.until(lambda m: m.event == "update" and m.data["cell"]["jobs"] == {})

    start, *rest = async_to_sync(follow)()
    assert start.data["names"] == ["gpu-01", "gpu-02"]
    assert [row[:2] for row in start.data["nodes"]] == [[0, "live"], [1, "live"]]
    assert start.data["cell"]["nodes"] == {"live": 2}
    shown = start.data["jobs"][0]
    assert (shown["id"], shown["state"], shown["nodes"], shown["part"]) == (str(job.pk), "running", 2, 0.0)
    states = [row["state"] for message in rest for row in message.data.get("jobs", ())]
    assert states[-1] == "cancelled"
    assert states.count("cancelled") == 1, "a job that ended is told of once"
    assert ("job_state", "cancelled") in {
        (m.data["kind"], m.data["state"]) for m in rest if m.event == "happened" and m.data["job"] == str(job.pk)
    }


def test_a_brief_stream_has_no_bulk(token: str, job: Job, fleet: Fleet, links: Links) -> None:
    work(fleet, links, job)

    async def start(place: str) -> dict[str, Any]:
        async with following(token, place) as reader:
            return (await reader.next()).data

    read = async_to_sync(start)
    assert "bits" in read(address(job))
    assert "bits" not in read(f"{address(job)}?brief=true")
    assert "nodes" not in read(f"{FLEET}?brief=true")


def test_a_hundred_streams_of_a_job_are_one_reader(
    token: str, job: Job, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Any] = []
    real = subjects.read_picture
    monkeypatch.setattr(subjects, "read_picture", lambda *args, **more: (reads.append(args), real(*args, **more))[1])

    async def follow() -> int:
        links = submission.get_links()
        from transfers.live.feed import stream

        streams = [stream(links, job.pk) for _ in range(100)]
        for each in streams:
            assert (await anext(each)).startswith("retry:")
        texts = await asyncio.gather(*(anext(each) for each in streams))
        assert len(set(texts)) == 1
        before = len(reads)
        await asyncio.gather(*(anext(each) for each in streams))
        told = len(reads) - before
        for each in streams:
            await each.aclose()
        return told

    assert async_to_sync(follow)() <= 3


def test_a_listener_that_falls_behind_is_cut_off_and_begins_anew(job: Job) -> None:
    listener = hub.Listener(hub.Feed(job.pk, subjects.JobSubject(job.pk)), brief=False)
    for number in range(hub.WAITING_MESSAGES):
        listener.put(str(number))
    listener.put("one too many")
    assert listener.queue.get_nowait() is hub.END
    assert listener.queue.empty()


def test_a_job_that_is_deleted_ends_its_streams(token: str, job: Job, links: Links) -> None:
    async def follow() -> list[Message]:
        async with following(token, address(job)) as reader:
            await reader.next()
            await sync_to_async(patiently)(job.delete)
            return await reader.until(named("end"))

    assert async_to_sync(follow)()[-1].event == "end"


@pytest.mark.parametrize("place", [FLEET, "job"])
def test_a_stream_is_for_those_who_may_look(place: str, viewer: AbstractUser, job: Job, client: Any) -> None:
    where = address(job) if place == "job" else FLEET
    headers = {"Accept": "text/event-stream"}
    assert client.get(where, headers=headers).status_code == 401
    client.force_login(viewer)
    refused = client.get(where, headers=headers)
    assert (refused.status_code, refused["Content-Type"]) == (403, "application/problem+json")
    assert refused.json()["type"] == "urn:fdist:permission-denied"
    viewer.user_permissions.add(*Permission.objects.filter(codename__in=["view_job", "view_node"]))
    wrong = client.get(where, headers={**headers, "Last-Event-ID": "yesterday"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "Last-Event-ID")
    assert client.get(where, {"after": "-1"}, headers=headers).json()["errors"][0]["field"] == "after"
    assert client.get(f"/api/v1/jobs/{'0' * 8}-0000-0000-0000-{'0' * 12}/stream/").status_code == 404
