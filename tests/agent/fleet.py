"""A small fleet for tests: agents in this process on real servers, and jobs planned by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import redis as redis_py

from fdist_site.local.gcs_server import GcsServer
from nodes.agent.agent import Agent
from nodes.agent.config import AgentConfig
from nodes.agent.session import connect
from transfers.dataplane.layout import Layout, OriginObject, PayloadFile
from transfers.dataplane.names import STATE_DIR
from transfers.scheduler import Scheduler
from transfers.scheduler.types import JobSpec
from transfers.signing import Signer

KEY = "fdk_test"
SIGNER = Signer("of the tests")
BUCKET = "models"
MB = 1024 * 1024


def wait_until(condition: Callable[[], bool], timeout: float = 60.0, what: str = "the condition") -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s in vain for {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Payload:
    """Objects in the bucket and the layout of a job that distributes them."""

    layout: Layout
    contents: Mapping[str, bytes]

    def check(self, data_dir: Path, destination: str) -> None:
        """Every file is at its destination, with every byte right."""
        for name, data in self.contents.items():
            path = data_dir / destination / name
            assert path.exists(), f"{path} is missing"
            assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(data).digest(), f"{path} is wrong"


class Fleet:
    """Agents, a bucket, and a coordinator's part of the work: planning, enrolling, reaping."""

    def __init__(self, redis_url: str, broker_url: str, gcs: GcsServer, root: Path) -> None:
        self.redis_url = redis_url
        self.broker_url = broker_url
        self.gcs = gcs
        self.root = root
        self.agents: dict[str, Agent] = {}
        self.redis = connect(redis_url)
        self.scheduler = Scheduler(self.redis)
        self.jobs: dict[str, tuple[JobSpec, str, list[str]]] = {}
        self._stopping = threading.Event()
        self._reaper = threading.Thread(target=self._reap, daemon=True)
        self.allow()
        self._reaper.start()

    def allow(self) -> None:
        """Let nodes register with the tests' key."""
        self.scheduler.set_enrolment_keys([hashlib.sha256(KEY.encode()).hexdigest()])

    def config(self, name: str, **options: Any) -> AgentConfig:
        data_dir = self.root / name
        data_dir.mkdir(exist_ok=True)
        defaults: dict[str, Any] = {
            "enrolment_key": KEY,
            "heartbeat_seconds": 0.2,
            "gcs_endpoint": self.gcs.endpoint,
            "coordinator_keys": (SIGNER.public_key,),
        }
        return AgentConfig(
            redis_url=self.redis_url,
            broker_url=self.broker_url,
            cell="main",
            name=name,
            data_dir=data_dir,
            **(defaults | options),
        )

    def start(self, name: str, **options: Any) -> Agent:
        agent = Agent(self.config(name, **options))
        agent.start()
        self.agents[name] = agent
        return agent

    def start_all(self, names: Sequence[str], **options: Any) -> None:
        for name in names:
            self.start(name, **options)
        wait_until(lambda: all(agent.session.epoch is not None for agent in self.agents.values()), what="registration")

    def stop(self, name: str) -> None:
        self.agents.pop(name).stop()

    def payload(self, sizes: Mapping[str, int], shard_size: int = MB, seed: int = 1) -> Payload:
        """Random files of these sizes, put in the bucket."""
        chance = random.Random(seed)
        return self.put({name: chance.randbytes(size) for name, size in sorted(sizes.items())}, shard_size)

    def put(self, contents: Mapping[str, bytes], shard_size: int = MB) -> Payload:
        """Files with these contents, put in the bucket."""
        self.gcs.bucket(BUCKET)
        prefix = f"p-{uuid.uuid4().hex[:8]}/"
        objects, files = [], []
        for name, data in contents.items():
            blob = self.gcs.put(BUCKET, prefix + name, data)
            crc = int.from_bytes(base64.b64decode(blob.crc32c or ""), "big")
            objects.append(OriginObject(BUCKET, prefix + name, int(blob.generation or 0), len(data), crc))
            files.append(PayloadFile(name, len(data), crc))
        return Payload(Layout(tuple(objects), tuple(files), shard_size), contents)

    def submit(
        self,
        payload: Payload,
        nodes: Sequence[str],
        topology: str = "mesh",
        destination: str = "models/m1",
        more: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> str:
        """Create a job and enrol nodes; nobody is nudged. more: what else is in the plan."""
        job = uuid.uuid4().hex
        layout = payload.layout
        spec = JobSpec(
            job=job,
            topology=topology,  # type: ignore[arg-type]
            shard_count=layout.shard_count,
            shard_size=layout.shard_size,
            size=layout.size,
            **options,
        )
        plan = {"v": 1, "job": job, "destination": destination, "layout": layout.to_dict(), **more}
        self.jobs[job] = (spec, SIGNER.sign(json.dumps(plan)), list(nodes))
        self.create(job)
        return job

    def create(self, job: str) -> None:
        """What the coordinator does at submission, and again when Redis has lost its data."""
        spec, plan, nodes = self.jobs[job]
        self.scheduler.create_job(spec, plan)
        self.scheduler.enrol(job, nodes)

    def forget_everything(self) -> None:
        """Redis loses its data, and the coordinator brings back what it knows."""
        self.redis.flushall()
        self.allow()
        for job in self.jobs:
            self.create(job)

    def state(self, job: str) -> str:
        view = self.scheduler.job(job)
        return view.state if view else "unknown"

    def wait_state(self, job: str, state: str, timeout: float = 60.0) -> None:
        def reached() -> bool:
            try:
                return self.state(job) == state
            except redis_py.RedisError:
                return False

        wait_until(reached, timeout, f"job {job} to be {state}")

    def wait_held(self, job: str, node: str, count: int, timeout: float = 60.0) -> None:
        """Wait until a node holds so many shards of a job."""
        wait_until(lambda: self.held(job, node) >= count, timeout, f"{node} to hold {count} shards")

    def held(self, job: str, node: str) -> int:
        return sum(byte.bit_count() for byte in self.scheduler.held(job, node))

    def fetched(self, job: str) -> int:
        """Bytes that agents here have moved for a job, from wherever."""
        found = (agent.book.get(job) for agent in self.agents.values())
        return sum(local.bytes_gcs + local.bytes_peers for local in found if local is not None)

    def fetched_from_gcs(self, job: str) -> int:
        found = (agent.book.get(job) for agent in self.agents.values())
        return sum(local.bytes_gcs for local in found if local is not None)

    def in_vain(self, job: str, payload: Payload, *, from_gcs: bool = False) -> int:
        """The most bytes that transfers had got which were broken off as late and given to another (lib/rescue.lua).

        The scheduler goes by what it last heard of them; more of their shards may have come by then.
        """
        events = self.scheduler.events("0", count=10_000)
        told = [event.fields for event in events if event.kind == "failed" and event.fields.get("job") == job]
        late = [each for each in told if each["why"] == "late" and not (from_gcs and each["source"])]
        return sum(payload.layout.shard_range(int(each["shard"]))[1] for each in late)

    def assert_read_once(self, job: str, payload: Payload) -> None:
        """No byte left the bucket twice, but for what was read in vain."""
        more = self.fetched_from_gcs(job) - payload.layout.size
        assert 0 <= more <= self.in_vain(job, payload, from_gcs=True)

    def check(self, job: str, payload: Payload) -> None:
        """Every node of the job has every byte, and no parts are left."""
        for node in self.jobs[job][2]:
            payload.check(self.root / node, "models/m1")
            parts = self.root / node / STATE_DIR / "jobs" / job / "parts"
            assert not any(parts.glob("*")), f"{node} has parts left"

    def close(self) -> None:
        self._stopping.set()
        self._reaper.join(60)
        stoppers = [threading.Thread(target=agent.stop) for agent in self.agents.values()]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join(60)
        self.redis.close()

    def _reap(self) -> None:
        while not self._stopping.wait(0.2):
            try:
                self.scheduler.reap()
            except redis_py.RedisError:
                continue
