"""A job's progress, put together from the site's live stream, or from its lists where it offers no stream."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import requests

from transfers.client.errors import NotAllowed, NotFound, Unavailable, Unreachable
from transfers.client.http import Http
from transfers.client.rows import Job, JobNode, address
from transfers.client.stream import messages
from transfers.progress import JobProgress, NodeProgress, Pace, seconds_left

SILENCE = 45.0  # the server says something every 15 s
POLL_SECONDS = 2.0  # and longer for a large fleet, whose lists have several pages
NODES_A_SECOND = 1000
BACK_SECONDS = 1.0
BUCKET = "bucket"


class Streamed:
    """Keeps what the messages "start" and "update" say of one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._names: list[str] = []
        self._nodes: dict[int, list[Any]] = {}  # number -> state, held, position, why, rate
        self._totals: Mapping[str, Any] = {}
        self._sources: dict[int, set[str]] = {}
        self._pace = Pace()

    def add(self, message: Mapping[str, Any], *, start: bool) -> JobProgress:
        if start:
            self._names, self._nodes = [], {}
        self._names += message.get("names", [])
        for number, *told in message.get("nodes", []):
            self._nodes[number] = told
        self._totals = message["job"]
        self._sources = defaultdict(set)
        for _shard, receiver, source, *_rest in message.get("transfers", []):
            self._sources[receiver].add(BUCKET if source < 0 else self._names[source])
        return self._progress()

    def _progress(self) -> JobProgress:
        job, totals = self._job, self._totals
        nodes = tuple(self._node(number, told) for number, told in sorted(self._nodes.items()))
        part = totals["held"] / (job.shard_count * len(nodes)) if nodes else 0.0
        rate = self._pace.add(time.monotonic(), totals["bytes_gcs"] + totals["bytes_peer"])
        return JobProgress(
            topology=job.topology,
            state=totals["state"],
            reason=totals["error"],
            elapsed=totals["elapsed"],
            part=part,
            rate=rate,
            left=seconds_left(part, len(nodes), job.size, rate),
            bytes_gcs=totals["bytes_gcs"],
            nodes=nodes,
            name=job.title,
            size=job.size,
            note="the scheduler cannot be reached; this is the record" if totals.get("stale") else "",
        )

    def _node(self, number: int, told: list[Any]) -> NodeProgress:
        state, held, _position, why, rate = told[:5]
        part = held / self._job.shard_count
        left = (1 - part) * self._job.size / rate if rate else None
        sources = tuple(sorted(self._sources.get(number, ())))
        return NodeProgress(self._names[number], state, round(part * self._job.size), part, rate, sources, left, why)


class Polled:
    """Keeps what the lists said, so that rates can be told."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._pace = Pace()
        self._paces: dict[str, Pace] = defaultdict(Pace)

    def look(self, job: str) -> JobProgress:
        found = Job.of(self._http.get(address(job)))
        nodes = [JobNode.of(row) for row in self._http.rows(f"{address(job)}nodes/")]
        now = time.monotonic()
        sources = {} if found.ended else self._active(job)
        rate = self._pace.add(now, found.bytes_from_gcs + found.bytes_from_peers)
        begun = found.started_at or found.created_at
        ended = found.finished_at.timestamp() if found.finished_at else time.time()
        return JobProgress(
            topology=found.topology,
            state=found.state,
            reason=found.error,
            elapsed=max(0.0, ended - begun.timestamp()),
            part=found.part,
            rate=rate,
            left=seconds_left(found.part, len(nodes), found.size, rate),
            bytes_gcs=found.bytes_from_gcs,
            nodes=tuple(self._node(found, node, now, sources.get(node.node, ())) for node in nodes),
            name=found.title,
            size=found.size,
        )

    def _active(self, job: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        try:
            for row in self._http.rows("transfers/active/", job=job):
                found[row["node"]].add(row["source"] or BUCKET)
        except (NotAllowed, Unavailable):  # who sends is a detail, which not everybody may see
            return {}
        return found

    def _node(self, job: Job, node: JobNode, now: float, sources: Iterable[str]) -> NodeProgress:
        part = node.shards_held / job.shard_count
        rate = self._paces[node.node].add(now, node.bytes_from_gcs + node.bytes_from_peers)
        left = (1 - part) * job.size / rate if rate else None
        received = round(part * job.size)
        return NodeProgress(node.node, node.state, received, part, rate, tuple(sorted(sources)), left, node.error)


def watch(http: Http, job: str) -> Iterator[JobProgress]:
    """The job as it goes, until it has ended. Comes back by itself when the connection breaks.

    Raises NotFound, and Unreachable when the site stays away for longer than the client's patience.
    """
    while True:
        found = Job.of(http.get(address(job)))  # waits for a site that restarts
        try:
            answer = http.open_stream(f"{address(job)}stream/", SILENCE, brief="true")
        except NotFound:
            break  # an older site
        except (Unreachable, Unavailable):
            time.sleep(BACK_SECONDS)
            continue
        with answer:
            ended = yield from _streamed(Streamed(found), answer)
        if ended:
            return
        time.sleep(BACK_SECONDS)
    yield from _polled(http, job)


def _streamed(state: Streamed, answer: requests.Response) -> Generator[JobProgress, None, bool]:
    """Gives whether the job has ended, in the record as well; False when the stream broke off."""
    answer.encoding = "utf-8"
    try:
        for message in messages(answer.iter_lines(decode_unicode=True, chunk_size=1)):
            if message.event in ("start", "update"):
                yield state.add(message.data, start=message.event == "start")
            elif message.event == "end":
                return True
    except requests.RequestException:
        return False
    return False


def _polled(http: Http, job: str) -> Iterator[JobProgress]:
    polled = Polled(http)
    while True:
        progress = polled.look(job)
        yield progress
        if progress.ended:
            return
        time.sleep(POLL_SECONDS + len(progress.nodes) / NODES_A_SECOND)
