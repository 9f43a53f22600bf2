"""Nodes that are let in by the identity of their machine: real tokens, a real metadata server, a real agent."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.redis_server import RedisServer
from nodes.identity import NotAdmitted, Policy, Verifier, audience
from tests.agent.fleet import Fleet, wait_until
from tests.cloud import Cloud
from tests.identities import ACCOUNT, Authority
from transfers.coordinator.registrar import Registrar
from transfers.links import Links

SECRET = "made up by the agent"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
AUDIENCE = audience("main", DIGEST)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def cloud(authority: Authority) -> Iterator[Cloud]:
    with Cloud() as cloud:
        cloud.certificates[authority.key_id] = authority.certificate
        yield cloud


@pytest.fixture
def verifier(cloud: Cloud) -> Verifier:
    return Verifier(policy(cloud), "main")


def policy(cloud: Cloud) -> Policy:
    place = f"http://{cloud.environment['GCE_METADATA_HOST']}"
    return Policy(("example-project",), (ACCOUNT,), ("europe-west4-",), f"{place}/certs")


def test_the_machine_that_the_token_is_of_is_let_in(verifier: Verifier, authority: Authority) -> None:
    verifier.check("n1", DIGEST, authority.token(AUDIENCE))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machine": {"instance_name": "n2"}}, "called n2; FDIST_NODE_NAME"),
        ({"machine": {"project_id": "another-project"}}, "FDIST_IDENTITY_PROJECTS"),
        ({"machine": {"zone": "us-central1-a"}}, "FDIST_IDENTITY_ZONES"),
        ({"email": "somebody@example-project.iam.gserviceaccount.com"}, "FDIST_IDENTITY_ACCOUNTS"),
        ({"email_verified": False}, "FDIST_IDENTITY_ACCOUNTS"),
        ({"iss": "https://elsewhere.example"}, r"not from accounts\.google\.com"),
        ({"google": {}}, "format=full"),
        ({"age": 3700.0}, "expired"),
        ({"age": -300.0}, "Token used too early"),
    ],
)
def test_any_other_machine_is_refused_with_what_is_wrong(
    verifier: Verifier, authority: Authority, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(NotAdmitted, match=message):
        verifier.check("n1", DIGEST, authority.token(AUDIENCE, **changes))


def test_a_token_for_another_secret_or_cell_is_refused(verifier: Verifier, authority: Authority) -> None:
    for wanted in (audience("main", "0" * 64), audience("other", DIGEST), "https://elsewhere.example"):
        with pytest.raises(NotAdmitted, match="audience"):
            verifier.check("n1", DIGEST, authority.token(wanted))


def test_a_token_that_nobody_we_trust_signed_is_refused(verifier: Verifier, authority: Authority) -> None:
    for forger in (Authority("key-1"), Authority("key-9")):
        with pytest.raises(NotAdmitted, match="does not hold"):
            verifier.check("n1", DIGEST, forger.token(AUDIENCE))
    head, body, signature = authority.token(AUDIENCE, machine={"instance_name": "n7"}).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["google"]["compute_engine"]["instance_name"] = "n1"
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"key-1"}').decode().rstrip("=")
    for token in (f"{head}.{changed}.{signature}", f"{none}.{changed}.", "", "a.b.c", "x" * 9000):
        with pytest.raises(NotAdmitted) as refused:
            verifier.check("n1", DIGEST, token)
        assert changed not in str(refused.value)


def test_a_new_key_of_googles_is_found(cloud: Cloud, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier(policy(cloud), "main")
    verifier.check("n1", DIGEST, authority.token(AUDIENCE))
    monkeypatch.setattr("nodes.identity.AGAIN_SECONDS", 0.0)
    later = Authority("key-2")
    cloud.certificates[later.key_id] = later.certificate
    verifier.check("n1", DIGEST, later.token(AUDIENCE))


# --- with an agent


@pytest.fixture
def fleet(
    redis: redis_py.Redis,
    redis_server: RedisServer,
    gcs: GcsServer,
    tmp_path: Path,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fleet]:
    monkeypatch.setenv("GCE_METADATA_HOST", cloud.environment["GCE_METADATA_HOST"])
    monkeypatch.setattr("nodes.agent.identity.ASK_AGAIN", 0.3)
    fleet = Fleet(redis_server.url, redis_server.broker_url, gcs, tmp_path)
    fleet.scheduler.set_enrolment_keys([])
    yield fleet
    fleet.close()


@pytest.fixture
def registrar(redis_server: RedisServer, verifier: Verifier, db: None) -> Registrar:
    return Registrar(Links(redis_server.url, redis_server.broker_url, "main"), verifier)


def start(fleet: Fleet, cloud: Cloud, authority: Authority, node: str, machine: str) -> Any:
    cloud.identities["default"] = lambda wanted: authority.token(wanted, machine={"instance_name": machine})
    return fleet.start(node, enrolment_key="")


def test_an_agent_without_a_key_comes_in_by_its_machines_identity(
    fleet: Fleet, cloud: Cloud, authority: Authority, registrar: Registrar
) -> None:
    agent = start(fleet, cloud, authority, "n1", "n1")
    wait_until(lambda: bool(fleet.scheduler.asking()), what="the question")
    assert agent.session.epoch is None
    registrar.step()
    wait_until(lambda: agent.session.epoch is not None, what="registration")
    assert fleet.scheduler.asking() == []
    fleet.redis.flushall()  # all is forgotten, who was let in as well: it asks anew, by itself

    def back() -> bool:
        registrar.step()
        return [view.name for view in fleet.scheduler.nodes() if view.state == "live"] == ["n1"]

    wait_until(back, what="the node to be back")


def test_a_node_that_takes_anothers_name_stays_out_and_is_told_why(
    fleet: Fleet, cloud: Cloud, authority: Authority, registrar: Registrar, caplog: pytest.LogCaptureFixture
) -> None:
    agent = start(fleet, cloud, authority, "n1", "n2")
    wait_until(lambda: bool(fleet.scheduler.asking()), what="the question")
    registrar.step()
    wait_until(lambda: "its machine is called n2" in caplog.text, what="the reason")
    assert agent.session.epoch is None
    assert fleet.scheduler.nodes() == []


def test_a_copied_token_lets_nobody_in(
    fleet: Fleet, cloud: Cloud, authority: Authority, registrar: Registrar, caplog: pytest.LogCaptureFixture
) -> None:
    """It is there for who can read Redis, and is good for the secret of its node alone."""
    stolen = authority.token(AUDIENCE)
    fleet.scheduler.ask("n1", "a secret of the thief", stolen)
    registrar.step()
    assert fleet.scheduler.admitted() == set()
    assert "audience" in caplog.text


def test_a_machine_without_a_metadata_server_is_told_what_is_missing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    fleet.start("n1", enrolment_key="")
    wait_until(lambda: "FDIST_ENROLMENT=google needs a Compute Engine instance" in caplog.text, what="the message")


def test_without_a_policy_nobody_is_let_in_and_the_node_is_told(
    fleet: Fleet,
    cloud: Cloud,
    authority: Authority,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    db: None,
) -> None:
    start(fleet, cloud, authority, "n1", "n1")
    wait_until(lambda: bool(fleet.scheduler.asking()), what="the question")
    Registrar(Links(redis_server.url, redis_server.broker_url, "main"), None).step()
    wait_until(lambda: caplog.text.count("FDIST_IDENTITY_PROJECTS is not set") > 1, what="both to say so")


@pytest.mark.django_db
def test_a_node_that_a_person_removed_has_to_ask_again(redis: redis_py.Redis, redis_server: RedisServer) -> None:
    from nodes.models import Node, NodeState

    links = Links(redis_server.url, redis_server.broker_url, "main")
    links.scheduler.admit("n1", DIGEST)
    links.scheduler.admit("n2", DIGEST)
    Node.objects.create(name="n1", state=NodeState.REMOVED)
    Registrar(links, None).step()
    assert links.scheduler.admitted() == {"n2"}
