"""One try to bring one message to its address."""

from __future__ import annotations

import logging
import random
import ssl
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import urllib3
from django.utils import timezone

from transfers.models import WebhookDelivery, WebhookState
from transfers.webhooks.address import Allowed, ForbiddenAddress, Target, parse_url, resolve
from transfers.webhooks.signature import sign

logger = logging.getLogger(__name__)

TIMEOUT = urllib3.Timeout(connect=5, read=10)
FIRST_WAIT = 5.0  # seconds; each one three times the one before
LONGEST_WAIT = 3600.0
GIVE_UP_AFTER = timedelta(hours=24)
GONE = 410  # the receiver says that it wants no more of this
SHOWN_ANSWER = 200


@dataclass(frozen=True)
class Answer:
    """status: None when there was none. error: empty when the message has arrived."""

    status: int | None
    error: str = ""


def send(delivery: WebhookDelivery, allowed: Allowed) -> None:
    """Sends it, and writes what came of it: delivered, to be tried again later, or given up."""
    answer = post(delivery, allowed)
    now = timezone.now()
    changes: dict[str, object] = {"attempts": delivery.attempts + 1, "status": answer.status, "error": answer.error}
    if not answer.error:
        changes |= {"state": WebhookState.DELIVERED, "delivered_at": now}
    elif answer.status == GONE or now - delivery.created_at > GIVE_UP_AFTER:
        changes["state"] = WebhookState.GIVEN_UP
    else:
        changes["next_at"] = next_try(delivery.attempts + 1, now)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(**changes)
    logger.info(
        "webhook webhook=%s delivery=%s kind=%s attempt=%d status=%s error=%s",
        delivery.webhook.name,
        delivery.id,
        delivery.kind,
        delivery.attempts + 1,
        answer.status,
        answer.error,
    )


def next_try(attempts: int, now: datetime) -> datetime:
    """Between half of the wait and all of it from now, so that a receiver that is back does not get all at once."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * 3.0 ** min(attempts - 1, 20))
    return now + timedelta(seconds=wait * random.uniform(0.5, 1.0))  # noqa: S311  (spreads retries, no secret)


def post(delivery: WebhookDelivery, allowed: Allowed) -> Answer:
    """What the receiver says. Redirects are not followed: they could lead to an address that is not allowed."""
    body, timestamp = delivery.body.encode(), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "fdist-webhook/1",
        "Fdist-Event": delivery.kind,
        "Fdist-Delivery": str(delivery.id),
        "Fdist-Timestamp": str(timestamp),
        "Fdist-Signature": sign(delivery.webhook.secret, timestamp, body),
    }
    try:
        target = parse_url(delivery.webhook.url, allowed)
        status, text = _exchange(target, resolve(target, allowed), body, headers)
    except (ForbiddenAddress, OSError, urllib3.exceptions.HTTPError) as error:
        return Answer(None, f"{type(error).__name__}: {error}"[:500])
    if 200 <= status < 300:
        return Answer(status)
    return Answer(status, f"answered {status}: {text}"[:500])


def _exchange(target: Target, address: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Connects to the address that was checked, and to no other that the name may have by now."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    pool: urllib3.HTTPConnectionPool
    if target.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address,
            target.port,
            ssl_context=ssl.create_default_context(),
            server_hostname=target.host,
            assert_hostname=target.host,
            timeout=TIMEOUT,
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, target.port, timeout=TIMEOUT)
    with pool:
        answer = pool.urlopen(
            "POST",
            target.path,
            body=body,
            headers={**headers, "Host": f"{host}:{target.port}"},
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            return answer.status, answer.read1(SHOWN_ANSWER, decode_content=False).decode(errors="replace")
        finally:
            answer.close()
