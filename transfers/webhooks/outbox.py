"""What there is to tell, and to whom: rows that are made from the record, each once, whatever crashes in between."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q
from django.utils import timezone

from transfers.models import Job, JobNodeState, JobState, Webhook, WebhookDelivery, WebhookKind, WebhookState

LOOK_BACK = timedelta(hours=24)  # how long a coordinator may have been away
KEEP = timedelta(days=30)  # what has arrived or was given up; more than LOOK_BACK, else it would be told again
MOMENTS = {  # when what happened is told of, and of which jobs
    WebhookKind.READY: ("ready_at", Q()),
    WebhookKind.COMPLETE: ("finished_at", Q(state=JobState.COMPLETE)),
    WebhookKind.FAILED: ("finished_at", Q(state=JobState.FAILED)),
    WebhookKind.STALLED: ("stalled_at", Q(state=JobState.RUNNING)),
    WebhookKind.SWITCHED: ("standing_version__reached_at", Q()),
}


def fill(cell: str) -> int:
    """Makes the messages that are due for what happened since each webhook was made; gives how many."""
    made: list[WebhookDelivery] = []
    for webhook in Webhook.objects.filter(cell=cell, active=True):
        for kind in MOMENTS:
            if kind in webhook.kinds:
                made += _messages(webhook, kind)
    WebhookDelivery.objects.bulk_create(made, ignore_conflicts=True)
    return len(made)


def _messages(webhook: Webhook, kind: WebhookKind) -> list[WebhookDelivery]:
    moment, which = MOMENTS[kind]
    since = max(webhook.created_at, timezone.now() - LOOK_BACK)
    told = WebhookDelivery.objects.filter(webhook=webhook, kind=kind, job=OuterRef("pk"), moment=OuterRef(moment))
    jobs = (
        Job.objects.filter(which, ~Exists(told), cell=webhook.cell, **{f"{moment}__gte": since})
        .select_related("standing_version__standing__wanted")
        .annotate(moment=F(moment), **node_counts())
        .order_by("moment")
    )
    return [message(webhook, kind, vars(job)["moment"], job) for job in jobs]


def node_counts() -> dict[str, Count]:
    return {
        "nodes_total": Count("job_nodes"),
        "nodes_done": Count("job_nodes", filter=Q(job_nodes__state=JobNodeState.DONE)),
        "nodes_failed": Count("job_nodes", filter=Q(job_nodes__state=JobNodeState.FAILED)),
    }


def message(webhook: Webhook, kind: WebhookKind, moment: datetime, job: Any = None) -> WebhookDelivery:
    """A new row, not saved. job: with the figures of its nodes; None for a ping."""
    identity = uuid.uuid4()
    body = {"id": str(identity), "event": str(kind), "at": moment.isoformat(), "job": job and _facts(job)}
    if version := getattr(job, "standing_version", None):
        body["standing"] = {
            "name": version.standing.name,
            "version": version.number,
            "current_version": version.standing.current_number,
        }
    return WebhookDelivery(
        id=identity, webhook=webhook, kind=kind, job=job, moment=moment, body=json.dumps(body, separators=(",", ":"))
    )


def ping(webhook: Webhook) -> WebhookDelivery:
    """A message that tells nothing, to see whether it arrives; the coordinator sends it at once."""
    found = message(webhook, WebhookKind.PING, timezone.now())
    found.save()
    return found


def _facts(job: Any) -> dict[str, Any]:
    plain = ("name", "source", "destination", "topology", "state", "error", "size", "quorum")
    figures = ("nodes_total", "nodes_done", "nodes_failed", "bytes_from_gcs", "bytes_from_peers")
    times = ("created_at", "started_at", "ready_at", "stalled_at", "finished_at")
    return {
        "id": str(job.id),
        **{name: getattr(job, name) for name in (*plain, *figures)},
        **{name: at.isoformat() if (at := getattr(job, name)) else None for name in times},
    }


def claim(cell: str, busy: Sequence[int], most: int, until: datetime) -> list[WebhookDelivery]:
    """Messages that are due, now ours to send until `until`: nobody else sends them before. busy: webhooks to pass."""
    now = timezone.now()
    due = (
        WebhookDelivery.objects.filter(
            state=WebhookState.WAITING, next_at__lte=now, webhook__active=True, webhook__cell=cell
        )
        .exclude(webhook__in=busy)
        .select_related("webhook")
        .order_by("next_at")[:most]
    )
    mine = []
    for delivery in due:
        rows = WebhookDelivery.objects.filter(pk=delivery.pk, state=WebhookState.WAITING, next_at=delivery.next_at)
        if rows.update(next_at=until):
            mine.append(delivery)
    return mine


def clear() -> int:
    """Deletes old messages; gives how many."""
    old = WebhookDelivery.objects.filter(created_at__lt=timezone.now() - KEEP).exclude(state=WebhookState.WAITING)
    return old.delete()[0]
