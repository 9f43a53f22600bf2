"""Addresses that are told what becomes of jobs, and each message to them: kept until it has arrived."""

from __future__ import annotations

import secrets
import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from transfers.models.job import Job

SECRET_BYTES = 32
LEAST_SECRET = 20


class WebhookKind(models.TextChoices):
    READY = "ready"  # as many nodes are done as the job's quorum asks for
    COMPLETE = "complete"
    FAILED = "failed"
    STALLED = "stalled"  # no byte has come for a while
    SWITCHED = "switched"  # nodes use a new version of a standing distribution
    PING = "ping"  # a person tries the address


JOB_KINDS = (
    WebhookKind.READY,
    WebhookKind.COMPLETE,
    WebhookKind.FAILED,
    WebhookKind.STALLED,
    WebhookKind.SWITCHED,
)


def make_secret() -> str:
    return "fdw_" + secrets.token_urlsafe(SECRET_BYTES)


def all_kinds() -> list[str]:
    return [str(kind) for kind in JOB_KINDS]


class Webhook(models.Model):
    """The secret is kept as it is, since every message is signed with it; it is shown once, when it is made."""

    cell = models.CharField(max_length=63, default="main", editable=False)
    name = models.CharField(max_length=100)
    url = models.URLField(max_length=1000, help_text="https, unless this installation allows http")
    secret = models.CharField(max_length=200, default=make_secret, editable=False)
    kinds = models.JSONField(default=all_kinds, help_text="what it is told: ready, complete, failed, stalled, switched")
    active = models.BooleanField(default=True, help_text="messages to one that is not wait")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["cell", "name"], name="webhook_name_unique_in_cell")]

    def __str__(self) -> str:
        return self.name


class WebhookState(models.TextChoices):
    WAITING = "waiting"  # to be sent, or sent again
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class WebhookDelivery(models.Model):
    """One message: the same text each time that it is sent. moment: of what it tells, so that this is told once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=8, choices=WebhookKind)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, null=True, blank=True, related_name="webhook_deliveries")
    moment = models.DateTimeField()
    body = models.TextField()
    state = models.CharField(max_length=9, choices=WebhookState, default=WebhookState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now, help_text="when it is sent next, while it waits")
    status = models.PositiveIntegerField(null=True, blank=True, help_text="of the last answer")
    error = models.CharField(max_length=500, blank=True, help_text="why the last try failed")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "message to a webhook"
        verbose_name_plural = "messages to webhooks"
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=WebhookKind.values), name="webhook_kind_known"),
            models.CheckConstraint(condition=Q(state__in=WebhookState.values), name="webhook_state_known"),
            models.UniqueConstraint(fields=["webhook", "job", "kind", "moment"], name="webhook_told_once"),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="waiting"), name="webhook_due"),
            models.Index(fields=["webhook", "-created_at"], name="webhook_log"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.webhook}"

    def send_again(self) -> None:
        """Has it sent at once, whatever became of it before."""
        self.state, self.next_at, self.attempts = WebhookState.WAITING, timezone.now(), 0
        self.save(update_fields=["state", "next_at", "attempts"])
