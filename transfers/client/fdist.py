"""Fdist: everything that one can ask of a coordinator."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import requests

from transfers.client.errors import (
    InvalidRequest,
    JobFailed,
    NotFound,
    Throttled,
    Unavailable,
    Unreachable,
    WaitedTooLong,
)
from transfers.client.http import Http
from transfers.client.rows import Event, Job, JobNode, Kept, Node, address
from transfers.client.standing import StandingCalls
from transfers.client.watch import watch
from transfers.progress import JobProgress

PATIENCE = 30.0
WAIT_SECONDS, LONGEST_WAIT = 1.0, 15.0
WAIT_SHARE = 20  # of the time that one has waited, a pause is this part
FEWEST_CHARACTERS = 4
JobRef = Job | str
T = TypeVar("T")


class Fdist:
    """A coordinator, by its REST API.

    url: such as https://fdist.example.org. token: of a user, see `manage.py token`. patience: seconds for which a
    request is repeated when the site does not answer. Not for several threads at once: make one for each.
    """

    def __init__(
        self, url: str, token: str = "", *, patience: float = PATIENCE, session: requests.Session | None = None
    ) -> None:
        self._http = Http(url, token, patience, session)
        self.standing = StandingCalls(self._http)

    def __enter__(self) -> Fdist:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def url(self) -> str:
        return self._http.base

    # --- jobs

    def submit(
        self,
        source: str,
        *,
        nodes: Mapping[str, Any] | Sequence[str] | None = None,
        topology: str = "mesh",
        key: str = "",
        **options: Any,
    ) -> Job:
        """Starts a job; it runs by itself from here on.

        nodes: {"all": True} (the default), {"names": [...]} or {"labels": {...}}, or a list of names. options: name,
        destination, shard_size, gcs_slots, upload_slots, download_slots, priority. key: of your own, by which the same
        request sent again gives the same job; one is made for each call unless given, so that a lost answer does no
        harm. Raises InvalidRequest that names the field.
        """
        body = job_request(source, nodes, topology, options)
        return Job.of(self._http.post("jobs/", body, key=key or uuid.uuid4().hex))

    def plan(
        self,
        source: str,
        *,
        nodes: Mapping[str, Any] | Sequence[str] | None = None,
        topology: str = "mesh",
        **options: Any,
    ) -> Mapping[str, Any]:
        """What `submit` would do with the same arguments, as docs/plan.md says; nothing happens."""
        answer: Mapping[str, Any] = self._http.post("plan/", job_request(source, nodes, topology, options), safe=True)
        return answer

    def job(self, job: JobRef) -> Job:
        """A job as it is now. job: also the first characters of an id. Raises NotFound."""
        return Job.of(self._http.get(self._at(job)))

    def jobs(self, *, state: str | Sequence[str] = (), source: str = "", limit: int | None = None) -> Iterator[Job]:
        """Jobs, the newest first. source: with what it begins."""
        params: dict[str, Any] = {"state": [state] if isinstance(state, str) and state else state or []}
        if source:
            params["source"] = source
        if limit is not None:
            params["page_size"] = min(limit, 500)
        for number, row in enumerate(self._http.rows("jobs/", **params)):
            if number == limit:
                return
            yield Job.of(row)

    def job_nodes(self, job: JobRef, *, node: str = "", state: str = "") -> Iterator[JobNode]:
        """How far each node is with a job."""
        params = {name: value for name, value in (("node", node), ("state", state)) if value}
        return map(JobNode.of, self._http.rows(f"{self._at(job)}nodes/", **params))

    def files(self, job: JobRef) -> Iterator[Mapping[str, Any]]:
        return self._http.rows(f"{self._at(job)}files/")

    def events(self, job: JobRef, *, after: int = 0) -> Iterator[Event]:
        """What happened since the event `after`, oldest first."""
        return map(Event.of, self._http.rows(f"{self._at(job)}events/", after=after))

    def watch(self, job: JobRef) -> Iterator[JobProgress]:
        """The job as it goes, until it has ended: by the site's live stream, else by asking every few seconds."""
        return watch(self._http, self.id_of(job))

    def wait(self, job: JobRef, *, timeout: float | None = None) -> Job:
        """Waits until the job is complete; also over restarts of the coordinator.

        Raises JobFailed when it ends otherwise, WaitedTooLong.
        """
        name = self.id_of(job)

        def ended() -> Job | None:
            found = self.job(name)
            return found if found.ended else None

        found = wait_for(ended, f"job {name} has not ended", timeout)
        if found.state != "complete":
            raise JobFailed(found)
        return found

    def cancel(self, job: JobRef, reason: str = "") -> Job:
        """Ends an open job; finished files stay. Raises Conflict."""
        return self._act(job, "cancel", {"reason": reason})

    def pause(self, job: JobRef) -> Job:
        return self._act(job, "pause")

    def resume(self, job: JobRef) -> Job:
        return self._act(job, "resume")

    def retry(self, job: JobRef) -> Job:
        """Goes on with a job that has ended, for the nodes that are not done. Raises Conflict."""
        return self._act(job, "retry")

    def verify(self, job: JobRef) -> Job:
        """Has the nodes read their files again; the job runs meanwhile. Raises Conflict."""
        return self._act(job, "verify")

    def purge(self, job: JobRef) -> Job:
        """Removes the files of a job that has ended from its nodes. Raises Conflict."""
        return self._act(job, "purge")

    def pin(self, job: JobRef) -> Job:
        """Nodes keep the job's files, whatever needs room. Raises Conflict for one that was purged."""
        return self._act(job, "pin")

    def unpin(self, job: JobRef) -> Job:
        """The job's files may make room again."""
        return self._act(job, "unpin")

    def set_priority(self, job: JobRef, priority: int) -> Job:
        return Job.of(self._http.patch(self._at(job), {"priority": priority}))

    def _act(self, job: JobRef, act: str, body: Mapping[str, Any] | None = None) -> Job:
        return Job.of(self._http.post(f"{self._at(job)}{act}/", body))

    def _at(self, job: JobRef) -> str:
        return address(self.id_of(job))

    def id_of(self, job: JobRef) -> str:
        """The whole id for a job, or for the first characters of one. Raises NotFound, InvalidRequest."""
        if isinstance(job, Job):
            return job.id
        text = job.strip().lower().replace("-", "")
        if len(text) == 32:
            return text
        if len(text) < FEWEST_CHARACTERS or text.strip("0123456789abcdef"):
            raise InvalidRequest(400, f'"{job}" is no job id: give at least its first {FEWEST_CHARACTERS} characters')
        found = [each.id for each in self.jobs() if each.id.startswith(text)]
        if not found:
            raise NotFound(404, f"no job begins with {job}; `fdist jobs` lists them")
        if len(found) > 1:
            raise InvalidRequest(400, f"several jobs begin with {job}: give more of the id")
        return found[0]

    # --- fleet

    def nodes(self, *, state: str = "", labels: Mapping[str, str] | None = None) -> Iterator[Node]:
        params = {"state": state} if state else {}
        if labels:
            params["labels"] = ",".join(f"{key}={value}" for key, value in labels.items())
        return map(Node.of, self._http.rows("nodes/", **params))

    def node(self, name: str) -> Node:
        return Node.of(self._http.get(f"nodes/{name}/"))

    def kept(self, name: str) -> Iterator[Kept]:
        """The jobs on a node's disk, by its own word: first those that can make room, in the order they would go."""
        return map(Kept.of, self._http.rows(f"nodes/{name}/kept/"))

    def drain(self, name: str) -> Node:
        """The node begins no download from now on, until it is enabled."""
        return Node.of(self._http.post(f"nodes/{name}/drain/", safe=True))

    def enable(self, name: str) -> Node:
        return Node.of(self._http.post(f"nodes/{name}/enable/", safe=True))

    def remove(self, name: str) -> None:
        """Takes a node that is gone out of the lists. Raises Conflict for one that lives."""
        self._http.delete(f"nodes/{name}/")

    def chaos(self, name: str, act: str, **details: Any) -> None:
        """Has a node of a test fleet "kill", "slow" or "corrupt" itself. Raises Conflict on any other fleet."""
        self._http.post(f"nodes/{name}/chaos/", {"act": act, **details})

    def moving(self, *, node: str = "") -> Iterator[Mapping[str, Any]]:
        """What is under way at this moment. node: only what it receives or sends."""
        yield from self._http.rows("transfers/active/", **({"node": node} if node else {}))

    def cell(self) -> Mapping[str, Any]:
        """The cell at a glance: nodes, jobs, rates, and whether the coordinator does its work."""
        answer: Mapping[str, Any] = self._http.get("cell/")
        return answer


def wait_for(look: Callable[[], T | None], what: str, timeout: float | None) -> T:
    """Looks until there is something: every second at first, then less often. Asks a site that is away again.

    Pauses differ from client to client, since a thousand servers may begin to wait at the same moment. what: has not
    happened, for the message of WaitedTooLong. timeout: seconds, None waits for ever.
    """
    begun = time.monotonic()
    while True:
        why = ""
        try:
            found = look()
        except (Unreachable, Unavailable, Throttled) as error:
            found, why = None, f" ({error})"
        if found is not None:
            return found
        waited = time.monotonic() - begun
        pause = min(WAIT_SECONDS + waited / WAIT_SHARE, LONGEST_WAIT) * random.uniform(0.8, 1.2)  # noqa: S311
        if timeout is not None:
            if waited >= timeout:
                raise WaitedTooLong(what + why, timeout)
            pause = min(pause, timeout - waited)
        time.sleep(pause)


def job_request(
    source: str,
    nodes: Mapping[str, Any] | Sequence[str] | None,
    topology: str,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of a submission; options that are None are left out."""
    selector = {"all": True} if nodes is None else nodes if isinstance(nodes, Mapping) else {"names": list(nodes)}
    body = {"source": source, "topology": topology, "nodes": selector}
    return body | {name: value for name, value in options.items() if value is not None}
