"""What concerns jobs as a whole: creating, enrolling, pausing, ending."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from transfers.errors import NoSuchJob
from transfers.scheduler.base import Base, check, compact, text
from transfers.scheduler.types import AnnounceReply, DisputeReply, JobSpec

NODES_A_CALL = 250
SHARDS_A_CALL = 4_000


class JobCalls(Base):
    def create_job(self, spec: JobSpec, plan: str, digests: Mapping[int, int] | None = None) -> None:
        """Make a job known, or build it again after a loss; repeating it changes nothing."""
        self._run(
            "create_job", compact(asdict(spec)), plan, compact({str(s): str(c) for s, c in (digests or {}).items()})
        )

    def plan(self, job: str) -> str | None:
        found = self._client.get(self._keys.job(job, ":plan"))
        return None if found is None else text(found)

    def enrol(self, job: str, nodes: Sequence[str]) -> None:
        """These nodes are to get the job. Raises NoSuchJob."""
        for start in range(0, len(nodes), NODES_A_CALL):
            if int(self._run("enrol", job, compact(list(nodes[start : start + NODES_A_CALL])))) == -1:
                raise NoSuchJob(f"the scheduler holds no job {job}")

    def withdraw(self, job: str, nodes: Sequence[str]) -> None:
        for start in range(0, len(nodes), 16):
            self._run("withdraw", job, compact(list(nodes[start : start + 16])))

    def announce(self, job: str, node: str, epoch: int, held: Mapping[int, int]) -> AnnounceReply:
        """Say which shards (shard -> CRC-32C) a node has verified. Raises StaleNode, NoSuchJob."""
        items = list(held.items())
        rejected: list[int] = []
        counted = 0
        for start in range(0, len(items) or 1, SHARDS_A_CALL):
            part = {str(shard): crc for shard, crc in items[start : start + SHARDS_A_CALL]}
            reply = self._run("announce", job, node, epoch, compact(part))
            check(int(reply[0]), node, job)
            counted += int(reply[0])
            rejected += json.loads(reply[1])
        return AnnounceReply(rejected=tuple(rejected), held=counted)

    def finish(self, job: str, node: str, epoch: int, error: str = "") -> bool:
        """The node's files are checked and in place, or, with `error`, it cannot go on. Raises StaleNode, NoSuchJob.

        False when the scheduler has not been told of all its shards: then it counts as done only when asked again.
        """
        code = int(self._run("finish", job, node, epoch, error))
        check(code, node, job)
        return code == 1

    def dispute(
        self, job: str, node: str, epoch: int, file_index: int, shards: Sequence[int], digests: Mapping[int, int]
    ) -> DisputeReply:
        """A file's whole checksum failed though its shards agreed: have each of them read from the bucket once more.

        digests: what the node holds of each of the shards; where one is not the recorded one, nothing is read.
        """
        held = [digests[shard] for shard in shards]
        state, suspects = self._run("dispute", job, node, epoch, file_index, compact(list(shards)), compact(held))
        if text(state) == "stale":
            check(-1, node, job)
        return DisputeReply(state=text(state), suspects=tuple(json.loads(suspects)))

    def set_state(self, job: str, state: Literal["paused", "running"], reason: str = "") -> None:
        self._change(job, state, reason)

    def cancel(self, job: str, reason: str = "") -> None:
        """End a job; every slot is free at once and its nodes are told to clean up."""
        self._change(job, "cancelled", reason)

    def fail_job(self, job: str, reason: str) -> None:
        self._change(job, "failed", reason)

    def set_priority(self, job: str, priority: int) -> None:
        self._change(job, "priority", str(priority))

    def forget(self, job: str) -> None:
        """Delete everything that Redis holds of a job, in bounded steps."""
        while int(self._run("forget", job)):
            pass

    def _change(self, job: str, what: str, value: str = "") -> None:
        check(int(self._run("job_set", job, what, value)), "-", job)
