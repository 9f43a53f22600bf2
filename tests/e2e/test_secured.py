"""Redis and peers by TLS, with a user for agents: real jobs run to the end, standing ones come and go; and an agent's
login is good for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
import requests
from django.core.management import call_command

from fdist_site.local.fleet import NodeOptions
from fdist_site.local.payload import Payload, model_payload
from fdist_site.local.processes import wait_until
from fdist_site.local.redis_server import connect
from nodes.redis_acl import AGENT, agent_rules
from tests.e2e.llama import BUCKET, SIZE, Llama
from tests.secured import METRICS_TOKEN, PASSWORDS, SecuredFleet, needs_tls_server
from transfers.dataplane.tls import split_pin
from transfers.scheduler import Scheduler
from transfers.scheduler.scripts import AGENT_OPERATIONS, commands

pytestmark = [pytest.mark.e2e, needs_tls_server]
PAYLOAD = 12 * 10**6
NODES = ["s1", "s2", "s3"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredFleet]:
    with SecuredFleet(tmp_path_factory.mktemp("secured"), options=NodeOptions(heartbeat_seconds=0.3)) as fleet:
        fleet.start()
        for node in NODES:
            fleet.start_agent(node, labels="model=llama")
        fleet.wait_live(*NODES)
        yield fleet


@pytest.fixture(scope="module")
def payload(fleet: SecuredFleet) -> tuple[Payload, str]:
    made = model_payload(PAYLOAD)
    return made, made.upload(fleet.gcs, "models", "tiny")


@pytest.fixture
def stolen(fleet: SecuredFleet) -> redis_py.Redis:
    """What somebody has who took an agent's login."""
    return connect(fleet.secured.url_of(AGENT))


def refused(fleet: SecuredFleet) -> list[str]:
    """But for what an agent tries that comes before the coordinator: to load the functions."""
    return [each for each in fleet.refusals() if "|load" not in each]


@pytest.mark.parametrize("topology", ["mesh", "pipeline"])
def test_a_job_runs_to_its_end_with_the_rights_of_agents(
    fleet: SecuredFleet, payload: tuple[Payload, str], topology: str
) -> None:
    made, source = payload
    job = fleet.submit(source, topology, shard_size=2**20, destination=topology, nodes={"names": NODES})
    wait_until(lambda: fleet.job(job)["state"] == "complete" or bool(refused(fleet)), 60, "the job to end")
    assert refused(fleet) == []
    for node in NODES:
        assert made.problems(fleet.data_dir(node) / topology) == []
    assert refused(fleet) == []


def test_a_standing_distribution_needs_no_more(fleet: SecuredFleet) -> None:
    """A version gets to all and is switched to, so is a new generation, and a node that loses the label drops it."""
    llama = Llama(fleet, "llama")
    fleet.gcs.bucket(BUCKET)
    llama.put("one")
    llama.create()
    llama.wait_right(NODES, 1, "one")
    llama.put("two")
    llama.wait_right(NODES, 2, "two")
    llama.wait_known(NODES, 2)
    versions = fleet.api("GET", "standing/llama/versions/")["results"]
    assert all(fleet.job(version["job"])["bytes_from_peers"] > SIZE for version in versions)
    assert all(split_pin(view.address)[1] for view in fleet.scheduler.nodes())  # and none is read but by TLS
    *others, leaver = NODES
    llama.relabel(leaver)
    llama.wait_dropped(leaver)
    llama.wait_known(others, 2)
    llama.delete("purge")
    for node in others:
        llama.wait_dropped(node)
    fleet.wait_live(*NODES)
    assert refused(fleet) == []


def test_pages_and_metrics_need_no_more_than_the_coordinators_rights(fleet: SecuredFleet) -> None:
    metrics = requests.get(
        f"{fleet.web_url}metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}, timeout=30
    ).text
    assert "fdist_redis_slow_calls" in metrics and "fdist_redis_memory_bytes" in metrics
    for path in ("cell/", "nodes/", "nodes/s1/", "nodes/s1/kept/", "jobs/", "transfers/active/", "health/", "ready/"):
        fleet.api("GET", path)
    assert refused(fleet) == []


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET requirepass",
        "CONFIG SET maxmemory 1",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "MONITOR",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "ACL LIST",
        "ACL SETUSER fdist-agents allkeys allcommands",
        "FUNCTION LIST",
        "FUNCTION FLUSH",
        "FUNCTION DELETE fdist",
        "SCRIPT LOAD x",
        "SHUTDOWN",
        "REPLICAOF 10.0.0.1 6379",
        "MODULE LIST",
        "SLOWLOG GET",
        "DUMP {fdist:main}:nodes",
        "EVALSHA 0000000000000000000000000000000000000000 0",
    ],
)  # fmt: skip
def test_an_agents_login_cannot(stolen: redis_py.Redis, command: str) -> None:
    with pytest.raises(redis_py.exceptions.NoPermissionError):
        stolen.execute_command(*command.split())


def test_an_agents_login_cannot_run_code_of_its_own(stolen: redis_py.Redis) -> None:
    with pytest.raises(redis_py.exceptions.NoPermissionError):
        stolen.eval("return 1", 0)
    with pytest.raises(redis_py.exceptions.NoPermissionError):
        stolen.function_load(
            "#!lua name=fdist_mine\nredis.register_function('mine', function() return 1 end)", replace=True
        )


@pytest.mark.parametrize("key", ["elsewhere", "{fdist:other}:nodes", "fdist-lead:main:planner", "{fdist:main}:job_seq"])
def test_an_agents_login_reaches_no_other_keys(stolen: redis_py.Redis, key: str) -> None:
    with pytest.raises(redis_py.exceptions.NoPermissionError):
        stolen.set(key, "mine")
    with pytest.raises(redis_py.exceptions.NoPermissionError):
        stolen.get(key)


def test_an_agents_login_cannot_change_what_is_the_coordinators(
    fleet: SecuredFleet, stolen: redis_py.Redis, payload: tuple[Payload, str]
) -> None:
    job = fleet.submit(payload[1], "mesh", shard_size=2**20, destination="mine", nodes={"names": NODES[:1]})
    acts = Scheduler(stolen)
    prefix = "{fdist:main}:"
    for command in (
        ("SET", f"j:{job}:plan", "another plan"),
        ("DEL", f"j:{job}:plan"),
        ("SADD", "enrolment", "a key of mine"),
        ("HSET", "admitted", "s9", "a key of mine"),
        ("SET", "coordinator", "me"),
        ("XRANGE", "events", "-", "+"),
    ):
        with pytest.raises(redis_py.exceptions.NoPermissionError):
            stolen.execute_command(command[0], prefix + command[1], *command[2:])
    for act in (
        lambda: acts.set_draining("s1", True),
        lambda: acts.order("s1", {"op": "delete", "job": job}),
        lambda: acts.cancel(job),
        lambda: acts.set_state(job, "paused"),
        lambda: acts.set_priority(job, 1),
        lambda: acts.enrol(job, ["s2"]),
        lambda: acts.forget(job),
        lambda: acts.reap(),
    ):
        with pytest.raises(redis_py.ResponseError, match=r"can't access|[Nn]o permissions"):
            act()
    assert stolen.get(f"{prefix}j:{job}:plan")
    assert fleet.wait_job(job) == "complete"  # and it did no harm


def test_no_login_and_plain_text_are_refused(fleet: SecuredFleet) -> None:
    address = fleet.secured.url.replace("default:only-operators-know-this-one@", "")
    with pytest.raises(redis_py.AuthenticationError):
        connect(address).ping()
    with pytest.raises(redis_py.AuthenticationError):
        connect(fleet.secured.url.replace("only-operators", "everybody")).ping()
    with pytest.raises(redis_py.ConnectionError):
        connect(f"redis://{fleet.secured.host}:{fleet.secured.port}/0").ping()


def test_the_agents_user_names_every_command_of_its_operations() -> None:
    given = {rule[1:].upper() for rule in agent_rules("main") if rule.startswith("+")}
    assert commands(AGENT_OPERATIONS) <= given
    assert not given & {"EVAL", "EVALSHA", "FUNCTION", "KEYS", "SCAN", "CONFIG", "FLUSHALL", "FLUSHDB", "ACL"}


def test_a_password_changes_without_a_pause(fleet: SecuredFleet, tmp_path: Path) -> None:
    """Both are good for a while; then the old one ends. Agents that are logged in stay so."""
    (tmp_path / "admin.txt").write_text(fleet.secured.url)
    (tmp_path / "new.txt").write_text("the-next-password-of-agents")
    (tmp_path / "old.txt").write_text(PASSWORDS[AGENT])
    new_url = fleet.secured.url_of(AGENT).replace(PASSWORDS[AGENT], "the-next-password-of-agents")

    def apply(password: str, *options: str) -> None:
        call_command(
            "redis_acl",
            "apply",
            *options,
            agents_password_file=str(tmp_path / password),
            admin_url_file=str(tmp_path / "admin.txt"),
        )

    apply("new.txt", "--keep-passwords")
    assert connect(new_url).ping() and connect(fleet.secured.url_of(AGENT)).ping()
    apply("new.txt")
    with pytest.raises(redis_py.AuthenticationError):
        connect(fleet.secured.url_of(AGENT)).ping()
    apply("old.txt")
    assert connect(fleet.secured.url_of(AGENT)).ping()


def test_the_drill_of_a_stolen_worker(
    fleet: SecuredFleet, payload: tuple[Payload, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/runbook.md has it: the password ends, with the logins that are there; Redis is emptied; all are back."""
    made, source = payload
    operators = connect(fleet.secured.url)
    (tmp_path / "admin.txt").write_text(fleet.secured.url)
    (tmp_path / "new.txt").write_text("another-password-of-agents")
    thief = connect(fleet.secured.url_of(AGENT))
    assert thief.hset("{fdist:main}:totals", "lies", 1) is not None
    call_command(
        "redis_acl",
        "apply",
        agents_password_file=str(tmp_path / "new.txt"),
        admin_url_file=str(tmp_path / "admin.txt"),
    )
    operators.execute_command("CLIENT KILL USER", AGENT)
    with pytest.raises(redis_py.RedisError):
        thief.hset("{fdist:main}:totals", "lies", 2)
    log = fleet.root / "logs" / "s1.log"
    wait_until(lambda: "WRONGPASS" in log.read_text() or "invalid username" in log.read_text(), 60, "agents to be out")
    operators.flushall()
    monkeypatch.setitem(PASSWORDS, AGENT, "another-password-of-agents")
    for node in NODES:
        fleet.kill(node)
        fleet.start_agent(node)
    fleet.wait_live(*NODES)
    assert operators.hget("{fdist:main}:totals", "lies") is None
    job = fleet.submit(source, "mesh", shard_size=2**20, destination="after", nodes={"names": NODES})
    assert fleet.wait_job(job, 60) == "complete"
    for node in NODES:
        assert made.problems(fleet.data_dir(node) / "after") == []
