"""Webhooks: made over REST, told what becomes of jobs, by a real receiver that checks the signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Group
from django.db.models import F
from django.utils import timezone
from rest_framework.test import APIClient

from tests.site_fixtures import Fleet, client_of, fold
from transfers import submission
from transfers.coordinator.herald import Herald
from transfers.coordinator.stalls import Watcher
from transfers.links import Links
from transfers.models import Job, Webhook, WebhookDelivery
from transfers.scheduler.types import Heartbeat
from transfers.webhooks import outbox, sending
from transfers.webhooks.address import Allowed, ForbiddenAddress, parse_url, resolve

pytestmark = pytest.mark.django_db
HOOKS = "/api/v1/webhooks/"
ANY = Allowed(http=True, private=True)


@dataclass
class Receiver:
    """A program that others tell things: what it got, and what it answers next."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


def an_hour_ago() -> datetime:
    return timezone.now() - timedelta(hours=1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((dict(self.headers), body))
            self.send_response(found.answers.pop(0) if found.answers else 204)
            self.send_header("Location", "http://169.254.169.254/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/told?by=fdist"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def hook(receiver: Receiver) -> Webhook:
    return Webhook.objects.create(name="deploy", url=receiver.url, created_at=an_hour_ago())


@pytest.fixture
def job(fleet: Fleet, payload: str) -> Job:
    fleet.add("gpu-01", "gpu-02")
    return submission.submit({"source": payload, "name": "llama", "quorum": 0.5})


def deliver(links: Links) -> int:
    """One round of the coordinator, each message sent here and now; gives how many were due."""
    outbox.fill(links.cell)
    due = outbox.claim(links.cell, [], 100, timezone.now() + timedelta(minutes=1))
    for delivery in due:
        sending.send(delivery, ANY)
    return len(due)


def complete(job: Job, fleet: Fleet, links: Links) -> None:
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    fold(links)


def test_a_webhook_is_told_once_that_a_job_is_ready_and_complete(
    hook: Webhook, job: Job, fleet: Fleet, links: Links, receiver: Receiver
) -> None:
    assert deliver(links) == 0
    complete(job, fleet, links)
    assert deliver(links) == 2
    assert deliver(links) == 0
    ready, done = sorted(receiver.bodies(), key=lambda body: str(body["event"]), reverse=True)
    assert (ready["event"], done["event"]) == ("ready", "complete")
    assert done["job"]["id"] == str(job.pk)
    assert (done["job"]["state"], done["job"]["nodes_done"], done["job"]["name"]) == ("complete", 2, "llama")
    assert done["job"]["finished_at"]
    assert set(WebhookDelivery.objects.values_list("state", "attempts", "status")) == {("delivered", 1, 204)}


def test_the_signature_can_be_checked_with_the_secret_alone(
    hook: Webhook, job: Job, fleet: Fleet, links: Links, receiver: Receiver
) -> None:
    complete(job, fleet, links)
    deliver(links)
    headers, body = receiver.got[0]
    signed = f"{headers['Fdist-Timestamp']}.".encode() + body
    digest = hmac.new(hook.secret.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["Fdist-Signature"] == f"v1={digest}"
    assert abs(int(headers["Fdist-Timestamp"]) - timezone.now().timestamp()) < 300
    assert headers["Fdist-Delivery"] == json.loads(body)["id"]
    assert headers["Fdist-Event"] == json.loads(body)["event"]


def test_a_receiver_that_is_away_gets_the_same_message_later(hook: Webhook, links: Links, receiver: Receiver) -> None:
    receiver.answers = [500, 302]
    outbox.ping(hook)
    waits = []
    for _ in range(3):
        before = timezone.now()
        assert deliver(links) == 1
        row = WebhookDelivery.objects.get()
        waits.append((row.next_at - before).total_seconds())
        assert deliver(links) == 0, "it waits"
        WebhookDelivery.objects.update(next_at=timezone.now())
    assert (row.state, row.attempts, row.status, row.error) == ("delivered", 3, 204, "")
    assert 2.4 <= waits[0] <= 6 and 7 <= waits[1] <= 16, "each wait is longer, and none is exact"
    assert len({body for _, body in receiver.got}) == 1, "a redirect is no success, and is not followed"


def test_a_message_is_given_up_in_the_end_and_can_be_sent_again(
    hook: Webhook, links: Links, receiver: Receiver
) -> None:
    receiver.answers = [503, 410]
    outbox.ping(hook)
    WebhookDelivery.objects.update(created_at=F("created_at") - timedelta(hours=25))
    deliver(links)
    assert WebhookDelivery.objects.get().state == "given_up"
    WebhookDelivery.objects.get().send_again()
    WebhookDelivery.objects.update(created_at=timezone.now())
    deliver(links)
    assert WebhookDelivery.objects.get().state == "given_up", "410 says that nobody wants it"
    WebhookDelivery.objects.get().send_again()
    deliver(links)
    assert WebhookDelivery.objects.get().state == "delivered"


def test_what_happened_while_no_coordinator_ran_is_told_afterwards_but_not_what_was_before_the_webhook(
    job: Job, fleet: Fleet, links: Links, receiver: Receiver
) -> None:
    complete(job, fleet, links)
    Webhook.objects.create(name="late", url=receiver.url)
    assert deliver(links) == 0
    Webhook.objects.update(created_at=F("created_at") - timedelta(hours=1))
    assert deliver(links) == 2


def test_a_webhook_is_told_what_it_asked_for(job: Job, links: Links, receiver: Receiver) -> None:
    hook = Webhook.objects.create(name="alarm", url=receiver.url, kinds=["failed"], created_at=an_hour_ago())
    links.scheduler.fail_job(job.id.hex, "bucket budget of 3.1 MB is used up")
    fold(links)
    deliver(links)
    (body,) = receiver.bodies()
    assert (body["event"], body["job"]["error"]) == ("failed", "bucket budget of 3.1 MB is used up")
    hook.active = False
    hook.save()
    outbox.ping(hook)
    assert deliver(links) == 0, "it waits while the webhook is off"


def test_a_job_that_gets_nowhere_is_stalled_until_a_byte_comes(
    hook: Webhook, job: Job, fleet: Fleet, links: Links, receiver: Receiver
) -> None:
    now = [0.0]
    watcher = Watcher(links, after=60, clock=lambda: now[0])
    fleet.announce(job.id.hex)
    assignments = fleet.scheduler.next("gpu-01", fleet.epochs["gpu-01"], [], want=1).assignments

    def passes(seconds: float) -> bool:
        now[0] += seconds
        watcher.step()
        job.refresh_from_db()
        return job.stalled_at is not None

    assert not passes(0)
    assert not passes(59)
    assert passes(2)
    assert deliver(links) == 1
    assert receiver.bodies()[0]["event"] == "stalled"
    assert passes(100)
    assert deliver(links) == 0, "it is told once"
    beat = Heartbeat("gpu-01", fleet.epochs["gpu-01"], progress={assignments[0].lease: 1000})
    fleet.scheduler.heartbeat(beat)
    assert not passes(1), "the bytes of a transfer that is under way count"
    assert passes(61)
    assert deliver(links) == 1, "a second stall is another one"
    submission.pause(job)
    assert job.stalled_at is None
    assert not passes(100), "a paused job is not stalled"


@pytest.mark.django_db(transaction=True)
def test_the_coordinator_sends_without_waiting_for_a_slow_receiver(
    hook: Webhook, links: Links, receiver: Receiver
) -> None:
    outbox.ping(hook)
    herald = Herald(links, ANY)
    herald.step()
    herald._senders.shutdown(wait=True)
    assert [body["event"] for body in receiver.bodies()] == ["ping"]
    assert WebhookDelivery.objects.get().state == "delivered"


def test_two_coordinators_send_a_message_once(hook: Webhook, links: Links) -> None:
    outbox.ping(hook)
    until = timezone.now() + timedelta(minutes=1)
    assert len(outbox.claim(links.cell, [], 10, until)) == 1
    assert outbox.claim(links.cell, [], 10, until) == []
    assert outbox.claim(links.cell, [hook.pk], 10, until) == []


@pytest.mark.parametrize(
    ("url", "allowed", "reason"),
    [
        ("ftp://example.org/", ANY, "begins with https"),
        ("http://example.org/", Allowed(), "FDIST_WEBHOOK_HTTP"),
        ("https://", ANY, "names no host"),
        ("https://user:pw@example.org/", ANY, "no user and password"),
        ("https://example.org:99999/", ANY, "no port"),
        ("https://10.1.2.3/", Allowed(), "FDIST_WEBHOOK_PRIVATE"),
        ("https://[::1]/", Allowed(), "FDIST_WEBHOOK_PRIVATE"),
        ("https://[::ffff:127.0.0.1]/", Allowed(), "FDIST_WEBHOOK_PRIVATE"),
        ("https://169.254.169.254/computeMetadata/", ANY, "never called"),
        ("https://0.0.0.0/", ANY, "never called"),
    ],
)
def test_addresses_that_are_not_allowed_are_refused_with_the_reason(url: str, allowed: Allowed, reason: str) -> None:
    with pytest.raises(ForbiddenAddress, match=reason):
        parse_url(url, allowed)


def test_a_name_that_leads_to_a_private_address_is_not_called(hook: Webhook, links: Links, receiver: Receiver) -> None:
    target = parse_url(receiver.url.replace("127.0.0.1", "localhost"), Allowed(http=True))
    with pytest.raises(ForbiddenAddress, match="private address"):
        resolve(target, Allowed(http=True))
    delivery = outbox.ping(hook)
    sending.send(delivery, Allowed(http=True))
    delivery.refresh_from_db()
    assert delivery.state == "waiting"
    assert "private address" in delivery.error
    assert not receiver.got


def test_a_webhook_is_made_changed_pinged_and_deleted_over_rest(
    api: APIClient, links: Links, receiver: Receiver, settings: Any, admin: AbstractUser
) -> None:
    settings.FDIST_WEBHOOK_HTTP = settings.FDIST_WEBHOOK_PRIVATE = True
    made = api.post(HOOKS, {"name": "deploy", "url": receiver.url, "kinds": ["ready", "failed", "ready"]})
    assert made.status_code == 201
    body = made.json()
    assert (body["kinds"], body["created_by"], body["active"]) == (["failed", "ready"], "ada", True)
    assert body["secret"] == Webhook.objects.get().secret
    place = f"{HOOKS}{body['id']}/"
    assert "secret" not in api.get(place).json()
    assert "secret" not in api.get(HOOKS).json()["results"][0]
    own = "a-secret-of-my-own-that-is-long"
    assert api.patch(place, {"active": False, "secret": own}).json()["active"] is False
    assert Webhook.objects.get().secret == own
    assert api.put(place, {}).status_code == 405
    api.patch(place, {"active": True})
    answer = api.post(f"{place}ping/")
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    deliver(links)
    rows = api.get(f"{place}deliveries/", {"kind": "ping"}).json()["results"]
    assert [(row["id"], row["state"], row["status"]) for row in rows] == [(answer.json()["id"], "delivered", 204)]
    assert api.get(f"{HOOKS}999/deliveries/").status_code == 404
    assert api.delete(place).status_code == 204
    history = list(LogEntry.objects.filter(user=admin).order_by("id").values_list("change_message", flat=True))
    assert history[0] == "Added by the API."
    assert history[-1] == "Deleted by the API."


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"url": "http://example.org/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::1/"}, "url"),
        ({"kinds": ["born"]}, "kinds.0"),
        ({"kinds": []}, "kinds"),
        ({"name": ""}, "name"),
        ({"secret": "short"}, "secret"),
    ],
)
def test_a_wrong_field_of_a_webhook_is_named(api: APIClient, fields: dict[str, Any], name: str, links: Links) -> None:
    answer = api.post(HOOKS, {"name": "deploy", "url": "https://example.org/", **fields})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, name)
    assert not Webhook.objects.exists()


def test_webhooks_are_for_administrators(viewer: AbstractUser, hook: Webhook) -> None:
    client = client_of(viewer)
    for group, code in (("operator", 403), ("admin", 200)):
        viewer.groups.set([Group.objects.get(name=group)])
        assert client.get(HOOKS).status_code == code
        assert client.get(f"{HOOKS}{hook.pk}/deliveries/").status_code == code
    assert client.post(HOOKS, {"name": "deploy", "url": "https://example.org/"}).json()["errors"][0]["field"] == "name"
