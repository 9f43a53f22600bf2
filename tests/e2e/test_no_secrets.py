"""Nothing that is secret is in what fdist tells: logs at their most talkative, the API, events, metrics.

A small fleet runs a job with everything that has a secret, and everything that fails with one.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fdist_site.local.fleet import NodeOptions
from fdist_site.local.payload import model_payload
from fdist_site.local.processes import wait_until
from fdist_site.local.redis_server import connect
from nodes.redis_acl import AGENT, COORDINATOR
from tests.secured import PASSWORDS, SecuredFleet, needs_tls_server
from transfers.dataplane.tickets import make_ticket
from transfers.dataplane.tls import make_identity

pytestmark = [pytest.mark.e2e, needs_tls_server]
NODES = ["q1", "q2", "q3"]
FORMS = {  # what is made up by the programs themselves
    "a ticket": re.compile(rb"\b1[0-9]{12}\.[0-9a-f]{40}\b"),
    "a ticket key": re.compile(rb"\b[0-9a-f]{64}\b"),
    "a private key": re.compile(rb"PRIVATE KEY|LS0tLS1CRUdJTi"),
    "a login in an address": re.compile(rb"rediss?://[^\s/\"'@]*:(?!\*\*@)[^\s/\"'@]+@"),
}


class Talkative(SecuredFleet):
    def __init__(self, root: Path) -> None:
        super().__init__(root, options=NodeOptions(heartbeat_seconds=0.3, log_level="debug"))
        self.made = {name: f"known-{secrets.token_urlsafe(30)}" for name in ("metrics", "django", "webhook")}

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "FDIST_LOG_LEVEL": "debug",
            "FDIST_LOG_FORMAT": "json",
            "FDIST_METRICS_TOKEN": self.made["metrics"],
        }

    @property
    def coordinator_environment(self) -> dict[str, str]:
        # Webhooks may go to this machine, so that one can fail.
        more = {"FDIST_SECRET_KEY": self.made["django"], "FDIST_WEBHOOK_HTTP": "1", "FDIST_WEBHOOK_PRIVATE": "1"}
        return super().coordinator_environment | more

    def known(self) -> dict[str, bytes]:
        found = {
            **{f"the password of {user}": PASSWORDS[user] for user in (AGENT, COORDINATOR)},
            **self.made,
            "the signing key": self._signing_key,
            "the enrolment key": self.enrolment_key.partition(".")[0],
            "the API token": self.token,
            "the user's password": self.password,
        }
        return {name: value.encode() for name, value in found.items()}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Talkative, dict[str, bytes]]]:
    with Talkative(tmp_path_factory.mktemp("told")) as fleet:
        fleet.start()
        fleet.start_agents(*NODES)
        source = model_payload(8 * 10**6).upload(fleet.gcs, "models", "tiny")
        answers: list[Any] = []

        def ask(path: str, method: str = "GET", token: str = "", **arguments: Any) -> None:
            headers = {"Authorization": f"Token {token or fleet.token}"}
            reply = requests.request(method, fleet.web_url + path, headers=headers, timeout=30, **arguments)
            answers.append([path, reply.status_code, dict(reply.headers), reply.text])

        hook = {"name": "deaf", "url": "http://127.0.0.1:9/hook", "secret": fleet.made["webhook"]}
        ask("api/v1/webhooks/", "POST", json=hook)
        for topology in ("mesh", "pipeline"):
            job = fleet.submit(source, topology, shard_size=2**20, destination=topology, nodes={"names": NODES})
            assert fleet.wait_job(job) == "complete"
            for part in ("", "nodes/", "transfers/", "events/", "decisions/", "metrics/", "webhooks/"):
                ask(f"api/v1/jobs/{job}/{part}")
            ask(f"jobs/{job}/")
        for path in ("nodes/", "nodes/q1/", "enrolment-keys/", "webhooks/", "cell/", "schema/", "jobs/"):
            ask(f"api/v1/{path}")
        ask("api/v1/jobs/", "POST", json={"source": "nonsense", "token": fleet.token})
        ask("api/v1/jobs/", "POST", data="not json", token=fleet.token)
        ask("api/v1/jobs/", token="a-token-that-is-wrong")
        ask("metrics", token=fleet.made["metrics"])
        # An agent that is not let in, one whose login is wrong, and Redis away for all of them.
        fleet.enrolment_key, right = f"fdk_known{secrets.token_urlsafe(24)}", fleet.enrolment_key
        wrong_key = fleet.enrolment_key
        fleet.start_agent("q4")
        log = fleet.root / "logs" / "q4.log"
        wait_until(lambda: "registration refused" in log.read_text(), 60, "the refusal")
        fleet.enrolment_key = right
        events = connect(fleet.secured.url).xrange("{fdist:main}:events")
        fleet.secured.kill()
        fleet.start_agent("q5")
        for node in ("q1", "q5"):
            log = fleet.root / "logs" / f"{node}.log"
            wait_until(lambda log=log: "does not answer" in log.read_text(), 60, "a complaint")  # type: ignore[misc]
        wait_until(lambda: "reason=" in (fleet.root / "logs" / "coordinator.log").read_text(), 60, "another")
        ask("readyz")
        ask("api/v1/cell/")
        texts = {path.name: path.read_bytes() for path in (fleet.root / "logs").glob("*.log")}
        texts["answers"] = json.dumps(answers).replace(fleet.made["webhook"], "").encode()
        texts["events"] = repr(events).encode()
        texts["wrong key"] = wrong_key.encode()
        yield fleet, texts


def test_all_of_it_was_looked_at(told: tuple[Talkative, dict[str, bytes]]) -> None:
    fleet, texts = told
    wanted = {"coordinator.log", "web.log", "q1.log", "q4.log", "q5.log", "answers", "events"}
    assert all(texts.get(name) for name in wanted)
    assert b"transfer ended" in texts["q1.log"]  # at debug
    samples = {
        "a ticket": make_ticket("key", "job", 1, "q1", 1_700_000_000_000),
        "a ticket key": secrets.token_hex(32),
        "a private key": make_identity("q1").pem,
        "a login in an address": fleet.secured.url_of(AGENT),
    }
    assert all(form.search(samples[name].encode()) for name, form in FORMS.items())


def test_no_secret_is_told(told: tuple[Talkative, dict[str, bytes]]) -> None:
    fleet, texts = told
    known = fleet.known() | {"a wrong enrolment key": texts["wrong key"]}
    found = [
        f"{place}: {name}"
        for place, text in texts.items()
        for name, secret in known.items()
        if secret in text and place != "wrong key"
    ]
    assert found == []


@pytest.mark.parametrize("what", FORMS)
def test_nothing_of_this_form_is_told(told: tuple[Talkative, dict[str, bytes]], what: str) -> None:
    _, texts = told
    found = {place: match[0] for place, text in texts.items() if (match := FORMS[what].search(text))}
    assert found == {}
