"""The fleet as messages: the first one whole, then what changed.

{"cell": {...},                                  figures of the whole cell, always
 "names": ["gpu-01", ...],                       nodes that are new; their numbers go on from the last
 "nodes": [[number, state, up, down, bucket, disk free, disk total], ...]     those that changed; bytes a second, bytes
 "jobs": [{...}, ...],                           those that changed; one that has ended is there once more
 "gone": [number, ...]}                          nodes that a person removed
"""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from transfers.live.fleet import FleetJob, FleetNode, FleetPicture

RATE_WEIGHT = 0.3  # of the newest figure in a job's smoothed rate
RATE_STEP = 1000  # rates are told in steps of this many bytes a second: less is no change
DISK_STEP = 10**8


class FleetWriter:
    """Numbers nodes as they appear, and remembers what was sent. One for each feed, shared by all its readers."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.sent: FleetPicture | None = None
        self._rates: dict[uuid.UUID, float] = {}

    def whole(self) -> dict[str, Any]:
        """The last picture sent, complete: what a reader that joins now begins with."""
        if self.sent is None:
            raise ValueError("nothing was sent yet")
        return self._message(self.sent, None, list(self.numbers))

    def next(self, picture: FleetPicture) -> dict[str, Any]:
        """What changed since the last picture; keeps this one as the last."""
        old, self.sent = self.sent, picture
        names = [name for name in picture.nodes if name not in self.numbers]
        for name in names:
            self.numbers[name] = len(self.numbers)
        self._measure(picture, old)
        return self._message(picture, old, names)

    def _measure(self, picture: FleetPicture, old: FleetPicture | None) -> None:
        """Each job's rate, smoothed over some pictures."""
        rates = {}
        for job in picture.jobs.values():
            before = old.jobs.get(job.id) if old else None
            rates[job.id] = self._rates.get(job.id, 0.0)
            if before is not None and old is not None and picture.at > old.at:
                moved = job.bytes_gcs + job.bytes_peer - before.bytes_gcs - before.bytes_peer
                rates[job.id] += RATE_WEIGHT * (max(0, moved) / (picture.at - old.at) - rates[job.id])
        self._rates = rates

    def _message(self, picture: FleetPicture, old: FleetPicture | None, names: list[str]) -> dict[str, Any]:
        message: dict[str, Any] = {"cell": _cell(picture)}
        if names:
            message["names"] = names
        before = old.nodes if old else {}
        nodes = [
            [self.numbers[name], *_shown(node)]
            for name, node in picture.nodes.items()
            if name not in before or _shown(before[name]) != _shown(node)
        ]
        if nodes:
            message["nodes"] = nodes
        if gone := [self.numbers[name] for name in before if name not in picture.nodes]:
            message["gone"] = gone
        jobs = [
            self._job(job) for job in picture.jobs.values() if old is None or old.jobs.get(job.id) != job or job.moves
        ]
        if jobs:
            message["jobs"] = jobs
        return message

    def _job(self, job: FleetJob) -> dict[str, Any]:
        rate = self._rates.get(job.id, 0.0)
        left = (1 - job.part) * job.nodes * job.size / rate if rate and job.moves else None
        return {
            "id": str(job.id),
            "name": job.name,
            "state": job.state,
            "error": job.error,
            "topology": job.topology,
            "priority": job.priority,
            "size": job.size,
            "nodes": job.nodes,
            "done": job.done,
            "failed": job.failed,
            "part": round(job.part, 4),
            "rate": round(rate),
            "seconds_left": None if left is None else round(left, 1),
            "elapsed": round(job.elapsed, 1),
            "bytes_gcs": job.bytes_gcs,
            "bytes_peer": job.bytes_peer,
        }


def _cell(picture: FleetPicture) -> dict[str, Any]:
    up = picture.up
    return {
        "name": picture.cell,
        "nodes": dict(Counter(node.state for node in picture.nodes.values())),
        "jobs": dict(Counter(job.state for job in picture.jobs.values())),
        "transfers": picture.transfers,
        "bucket_reads": picture.bucket_transfers,
        "rate_bucket": round(sum(node.rate_bucket for node in up)),
        "rate_peers": round(sum(node.rate_down for node in up)),
        "disk_free": sum(node.disk_free for node in up),
        "disk_total": sum(node.disk_total for node in up),
        "stale": not picture.source_seen,
    }


def _shown(node: FleetNode) -> list[Any]:
    rates = [round(rate / RATE_STEP) * RATE_STEP for rate in (node.rate_up, node.rate_down, node.rate_bucket)]
    return [node.state, *rates, node.disk_free // DISK_STEP * DISK_STEP, node.disk_total]
