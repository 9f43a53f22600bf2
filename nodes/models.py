"""The record of the fleet: nodes as the scheduler last saw them, and the keys with which nodes may register."""

from __future__ import annotations

import hashlib
import secrets

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

KEY_PREFIX = "fdk_"
KEY_BYTES = 32
SHOWN_CHARACTERS = 12


CAP_HELP = "bit/s for {}; 0 for no cap, empty for the node's own setting"
MAX_CAP = 10**13


class NodeState(models.TextChoices):
    LIVE = "live"
    DRAINING = "draining"
    DEAD = "dead"
    LEFT = "left"
    REMOVED = "removed"  # by a person; it is back as soon as it registers


class Node(models.Model):
    """A server of the fleet. All but `draining` and the caps is a copy of what the node told the scheduler."""

    cell = models.CharField(max_length=63, default="main", editable=False)
    name = models.CharField(max_length=63)
    state = models.CharField(max_length=8, choices=NodeState, default=NodeState.LIVE)
    draining = models.BooleanField(default=False, help_text="Takes no new downloads, and still serves what it has.")
    address = models.CharField(max_length=255, blank=True, help_text="host:port of its shard server")
    labels = models.JSONField(default=dict, blank=True)
    epoch = models.BigIntegerField(default=0, help_text="number of this start of the node")
    disk_total = models.BigIntegerField(default=0)
    disk_free = models.BigIntegerField(default=0)
    upload_slots = models.PositiveIntegerField(default=0)
    download_slots = models.PositiveIntegerField(default=0)
    gcs_slots = models.PositiveIntegerField(default=0)
    upload_cap = models.BigIntegerField(null=True, blank=True, help_text=CAP_HELP.format("sending to nodes"))
    download_cap = models.BigIntegerField(null=True, blank=True, help_text=CAP_HELP.format("receiving"))
    bucket_cap = models.BigIntegerField(null=True, blank=True, help_text=CAP_HELP.format("reading the bucket"))
    caps_epoch = models.BigIntegerField(null=True, editable=False, help_text="the start that was told the caps")
    version = models.CharField(max_length=64, blank=True)
    first_seen = models.DateTimeField(default=timezone.now, editable=False)
    last_seen = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["cell", "name"], name="node_name_unique_in_cell"),
            models.CheckConstraint(condition=Q(state__in=NodeState.values), name="node_state_known"),
            models.CheckConstraint(
                condition=(Q(upload_cap=None) | Q(upload_cap__range=(0, MAX_CAP)))
                & (Q(download_cap=None) | Q(download_cap__range=(0, MAX_CAP)))
                & (Q(bucket_cap=None) | Q(bucket_cap__range=(0, MAX_CAP))),
                name="node_caps_in_range",
            ),
            models.CheckConstraint(condition=Q(disk_free__gte=0, disk_total__gte=0), name="node_disk_not_negative"),
        ]
        indexes = [models.Index(fields=["state", "name"], name="node_by_state")]
        permissions = [
            ("cap_node", "Can change a node's bandwidth caps"),
            ("drain_node", "Can drain a node and enable it again"),
            ("remove_node", "Can remove a node that is gone"),
        ]

    def __str__(self) -> str:
        return self.name


class EnrolmentKeyQuerySet(models.QuerySet["EnrolmentKey"]):
    def valid(self) -> EnrolmentKeyQuerySet:
        """The keys that a node may register with now."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)


class EnrolmentKey(models.Model):
    """A secret with which nodes may register. Only its SHA-256 is kept: the key itself is shown once, when made."""

    name = models.CharField(max_length=100, unique=True, help_text="who uses it, for example an instance group")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    shown = models.CharField(max_length=SHOWN_CHARACTERS, editable=False, help_text="the first characters of the key")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = EnrolmentKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")), name="enrolment_key_expires_later"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(cls, name: str, **fields: object) -> tuple[EnrolmentKey, str]:
        """A new key's record and the key itself, which cannot be had again."""
        key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        return cls.adopt(name, key, **fields), key

    @classmethod
    def adopt(cls, name: str, key: str, **fields: object) -> EnrolmentKey:
        """Records a key that was made elsewhere, for example by a secret manager."""
        return cls.objects.create(name=name, digest=digest_of(key), shown=key[:SHOWN_CHARACTERS], **fields)

    def revoke(self) -> None:
        """Nodes that are registered stay; no node registers with it from the coordinator's next round on."""
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])


def digest_of(key: str) -> str:
    """SHA-256 of a key in hex, as the scheduler compares it. Keys are 256 random bits, so no salt is needed."""
    return hashlib.sha256(key.encode()).hexdigest()
