"""The Python client: typed rows, errors by what to do about them, and requests that are safe to repeat."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.site_fixtures import Fleet, fold
from transfers.client import (
    Conflict,
    Fdist,
    InvalidRequest,
    Job,
    JobFailed,
    NotFound,
    NotLoggedIn,
    Unavailable,
    WaitedTooLong,
)
from transfers.client.stream import Message, messages
from transfers.client.watch import Polled, Streamed
from transfers.links import Links
from transfers.live import read_picture
from transfers.live.delta import DeltaWriter
from transfers.models import Job as JobRow


@pytest.fixture
def job(client: Fdist, fleet: Fleet, payload: str) -> Job:
    fleet.add("gpu-01", "gpu-02")
    return client.submit(payload, nodes=["gpu-01", "gpu-02"], name="llama")


pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_is_submitted_followed_and_waited_for(client: Fdist, fleet: Fleet, links: Links, job: Job) -> None:
    assert (job.name, job.state, job.nodes_total, job.title) == ("llama", "running", 2, "llama")
    assert [each.id for each in client.jobs()] == [job.id]
    with pytest.raises(WaitedTooLong, match=r"has not ended after 0\.0 s"):
        client.wait(job, timeout=0)
    fleet.announce(job.id)
    fleet.move(job.id)
    fold(links)
    assert client.wait(job, timeout=60).state == "complete"
    assert [(node.node, node.state) for node in client.job_nodes(job)] == [("gpu-01", "done"), ("gpu-02", "done")]
    *_, last = client.watch(job)
    assert (last.ended, last.part, last.done) == (True, 1.0, 2)
    seen = list(client.events(job))
    assert list(client.events(job, after=seen[-1].id)) == []
    assert {event.kind for event in seen} >= {"enrolled", "node_done", "job_state"}


def test_errors_say_what_to_do(client: Fdist, fleet: Fleet, job: Job, live_server: Any) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        client.submit("gs://weights/nothing/")
    assert [fault.field for fault in wrong.value.faults] == ["source"]
    with Fdist(live_server.url, "no token") as stranger, pytest.raises(NotLoggedIn):
        stranger.job(job)
    with pytest.raises(NotFound):
        client.job("f" * 32)
    client.cancel(job, "enough")
    with pytest.raises(Conflict):
        client.resume(job)
    with pytest.raises(JobFailed, match="is cancelled: enough"):
        client.wait(job)


def test_a_list_of_several_pages_is_read_to_its_end(client: Fdist, fleet: Fleet, payload: str) -> None:
    fleet.add("gpu-01")
    wanted = [client.submit(payload, name=str(number)).id for number in range(5)]
    http = client._http
    assert [Job.of(row).id for row in http.rows("jobs/", page_size=2)] == wanted[::-1]
    assert [job.name for job in client.jobs(limit=3)] == ["4", "3", "2"]


def test_the_live_messages_and_the_lists_tell_the_same(client: Fdist, fleet: Fleet, links: Links, job: Job) -> None:
    fleet.announce(job.id)
    writer = DeltaWriter()
    state = Streamed(job)
    writer.next(read_picture(links, JobRow.objects.get().id))
    first = state.add(writer.whole(), start=True)
    assert (first.part, [node.state for node in first.nodes]) == (0.0, ["ready", "ready"])
    fleet.move(job.id)
    fold(links)
    change = writer.next(read_picture(links, JobRow.objects.get().id, writer.sent))
    streamed, polled = state.add(change, start=False), Polled(client._http).look(job.id)
    for each in (streamed, polled):
        assert (each.state, each.part, each.done, each.name) == ("complete", 1.0, 2, "llama")
        assert [(node.name, node.received) for node in each.nodes] == [("gpu-01", job.size), ("gpu-02", job.size)]
    assert streamed.bytes_gcs == polled.bytes_gcs


def test_messages_are_read_as_the_standard_says() -> None:
    first = ["retry: 2000", "", "id: 7", "event: start", "data: {", 'data: "a": 1}', ""]
    rest = [": still here", "", "event: end", "data: {}", "", "data: {"]
    assert list(messages(first + rest)) == [Message("start", {"a": 1}, "7"), Message("end", {}, "7")]


class Site(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it was asked: (method, idempotency key)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answers: list[tuple[int, dict[str, Any]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                site.asked.append((self.command, self.headers.get("Idempotency-Key")))
                status, body = site.answers.pop(0)
                if not status:
                    self.close_connection = True  # the request was taken, and its answer is lost
                    return
                self.send_response(status)
                data = json.dumps(body).encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def flaky() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def asking(flaky: Site) -> Iterator[Fdist]:
    with Fdist(f"http://127.0.0.1:{flaky.server_address[1]}", "t", patience=20) as client:
        yield client


def test_a_submission_whose_answer_was_lost_is_sent_again_with_the_same_key(flaky: Site, asking: Fdist) -> None:
    flaky.answers = [(0, {}), (503, {"detail": "busy"}), (400, {"detail": "no", "errors": []})]
    with pytest.raises(InvalidRequest):
        asking.submit("gs://weights/x/")
    assert len({key for _, key in flaky.asked}) == 1
    assert flaky.asked[0][1]
    assert len(flaky.asked) == 3


def test_a_change_whose_answer_was_lost_is_not_sent_again(flaky: Site, asking: Fdist) -> None:
    flaky.answers = [(503, {"detail": "the scheduler cannot be reached"})]
    with pytest.raises(Unavailable, match="the scheduler"):
        asking.cancel("f" * 32)
    assert len(flaky.asked) == 1


def test_a_page_that_is_no_answer_of_ours_is_an_error_too(flaky: Site, asking: Fdist) -> None:
    flaky.answers = [(502, {}), (502, {}), (200, {"results": [], "next": None})]
    assert list(asking.nodes()) == []
