"""The scheduler as its users in Redis see it: nodes as agents, the rest as the coordinator, on the bundled server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from django.core.management import call_command
from django.core.management.base import CommandError

from fdist_site.local.redis_server import RedisServer, connect
from nodes.redis_acl import AGENT, COORDINATOR
from tests.scheduler.cell import JOB, Cell
from transfers.scheduler import Scheduler

PASSWORD = "a-password-of-the-tests"
AGENTS_ACTS = {"register", "announce", "next", "finish", "heartbeat", "wait", "unpark", "leave", "dispute", "withdraw"}


@pytest.fixture
def users(redis: redis_py.Redis, redis_server: RedisServer, tmp_path: Path) -> Iterator[dict[str, redis_py.Redis]]:
    for name in ("password", "admin"):
        (tmp_path / name).write_text(PASSWORD if name == "password" else redis_server.url)
    call_command(
        "redis_acl",
        "apply",
        agents_password_file=str(tmp_path / "password"),
        coordinator_password_file=str(tmp_path / "password"),
        admin_url_file=str(tmp_path / "admin"),
        stderr=io.StringIO(),
    )
    redis.acl_log_reset()
    place = redis_server.url.removeprefix("redis://")
    yield {user: connect(f"redis://{user}:{PASSWORD}@{place}") for user in (AGENT, COORDINATOR)}
    redis.acl_deluser(AGENT, COORDINATOR)


class Users:
    """A scheduler whose calls go out as the user whose they are."""

    def __init__(self, agents: Scheduler, coordinator: Scheduler) -> None:
        self._agents, self._coordinator = agents, coordinator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agents if name in AGENTS_ACTS else self._coordinator, name)


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_a_job_runs_with_the_rights_of_its_users(
    redis: redis_py.Redis, users: dict[str, redis_py.Redis], topology: str
) -> None:
    cell = Cell(users[COORDINATOR])
    coordinator = cell.scheduler
    coordinator.reap()  # loads the functions, which agents may not
    cell.scheduler = Users(Scheduler(users[AGENT], clock=lambda: cell.now), coordinator)  # type: ignore[assignment]
    names = ["a", "b", "c", "d"]
    job = "0" * 32
    cell.nodes(*names)
    cell.job(names, shards=9, job=job, topology=topology)
    for name in names:
        cell.holds(name, job=job)
    cell.beat(*names)
    assert cell.run(*names) == 36
    cell.scheduler.reap()
    view = cell.scheduler.job(job)
    assert view is not None and view.state == "complete"
    agents = Scheduler(users[AGENT], clock=lambda: cell.now)
    assert (agents.job_state(job), agents.job_state("f" * 32)) == ("complete", None)
    cell.scheduler.dispute(job, "a", cell.epochs["a"], 0, [1], {1: 1001})
    cell.scheduler.withdraw(job, ["d"])
    cell.scheduler.leave("d")
    for read in (coordinator.nodes, coordinator.jobs, coordinator.stream_bounds):
        read()
    coordinator.forget(job)
    assert [(each["username"], each["object"]) for each in redis.acl_log()] == []
    assert job != JOB


def test_who_is_refused_does_not_make_the_scheduler_forget(
    redis: redis_py.Redis, users: dict[str, redis_py.Redis]
) -> None:
    """Else any agent could slow it down, call by call."""
    cell = Cell(users[COORDINATOR])
    cell.nodes("a", "b", up=2, down=2)
    cell.job(["a", "b"], shards=40)
    cell.holds("a")
    cell.holds("b")
    agent = Scheduler(users[AGENT], clock=lambda: cell.now)
    waiting = [("a", each) for each in cell.next("a").assignments]

    def read() -> int:
        return int(redis.info("commandstats")["cmdstat_hmget"]["calls"])

    before = read()
    for _ in range(20):
        with pytest.raises(redis_py.ResponseError, match=r"No permissions|can't access"):
            agent.reap()
        name, over = waiting.pop()
        waiting += [(name, each) for each in cell.end(name, over, want=1).assignments]
    assert read() == before
    for name, over in waiting:
        cell.end(name, over)
    cell.run("a", "b")
    view = cell.scheduler.job(JOB)
    assert view is not None and (view.state, view.shards_held) == ("complete", 80)


def test_a_password_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("secret")
    with pytest.raises(CommandError, match="has 6 characters; give a password at least 20"):
        call_command("redis_acl", "show", agents_password_file=str(tmp_path / "short"))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("redis_acl", "show", agents_password_file=str(tmp_path / "none"))
    with pytest.raises(CommandError, match="name a file"):
        call_command("redis_acl", "show")
