"""Standing distributions: a source that the nodes with some labels have at all times, version after version."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from nodes.models import Node
from transfers.models.job import Job


class Standing(models.Model):
    """What is kept where. What nodes are to use is `wanted`; the coordinator's part `standing` sees to all of it.

    Of the source that is known: `seen`, a digest of its objects and their generations, `seen_since` and `seen_times`.
    """

    cell = models.CharField(max_length=63, default="main", editable=False)
    name = models.CharField(max_length=63)
    source = models.CharField(max_length=1100, help_text="gs://bucket/object, gs://bucket/prefix/ or a manifest")
    selector = models.JSONField(default=dict, help_text="which nodes have it")
    destination = models.CharField(
        max_length=1000, blank=True, help_text="folder with the versions and the link, below each data directory"
    )
    options = models.JSONField(default=dict, blank=True, help_text="of each version's job: topology, limits, priority")
    share = models.FloatField(
        default=1.0, help_text="part of the nodes that must have a version before it is used, above 0 and at most 1"
    )
    versions_kept = models.PositiveIntegerField(default=2, help_text="the current one among them")
    check_seconds = models.PositiveIntegerField(default=60, help_text="between two looks at the source")
    settle_seconds = models.PositiveIntegerField(
        default=60, help_text="for which the source must be unchanged before it becomes a version"
    )
    marker = models.CharField(
        max_length=1024, blank=True, help_text="object whose new generation says that an upload is whole"
    )
    paused = models.BooleanField(default=False, help_text="no new versions, no switch; nodes that join are served")

    wanted = models.ForeignKey(
        "StandingVersion", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    passed_over = models.PositiveIntegerField(
        default=0, editable=False, help_text="versions up to this one are not used but by a person's word"
    )
    seen = models.CharField(max_length=64, blank=True, editable=False)
    seen_since = models.DateTimeField(null=True, blank=True, editable=False)
    seen_times = models.PositiveIntegerField(default=0, editable=False)
    checked_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="when the source was listed")
    check_at = models.DateTimeField(default=timezone.now, editable=False, help_text="when it is listed next")
    trouble = models.TextField(blank=True, editable=False, help_text="why there is no newer version")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "standing distribution"
        verbose_name_plural = "standing distributions"
        ordering = ["name"]
        permissions = [("rollback_standing", "Can have nodes use an earlier version")]
        constraints = [
            models.UniqueConstraint(fields=["cell", "name"], name="standing_name_unique_in_cell"),
            models.UniqueConstraint(fields=["cell", "destination"], name="standing_destination_unique_in_cell"),
            models.CheckConstraint(condition=Q(share__gt=0, share__lte=1), name="standing_share_is_a_part"),
            models.CheckConstraint(condition=Q(versions_kept__gte=1), name="standing_keeps_a_version"),
            models.CheckConstraint(condition=Q(check_seconds__gte=1), name="standing_checks_at_times"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("standing", args=[self.name])

    @property
    def current_number(self) -> int | None:
        return self.wanted.number if self.wanted else None

    @property
    def is_held(self) -> bool:
        """Whether a person had nodes go back, and newer versions that are there are passed over."""
        return self.wanted is not None and self.wanted.number < self.passed_over


class StandingVersion(models.Model):
    """A state of the source, numbered from 1. Its files are brought by a job like any other.

    current_at: when nodes were last told to use it; reached_at: when the share of those that are up did.
    """

    standing = models.ForeignKey(Standing, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="standing_version")
    fingerprint = models.CharField(max_length=64, help_text="digest of the source's objects and their generations")
    created_at = models.DateTimeField(default=timezone.now)
    current_at = models.DateTimeField(null=True, blank=True)
    reached_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True, help_text="since when it is removed from nodes")
    failure = models.TextField(blank=True, help_text="why its job failed, as far as that was told")

    class Meta:
        verbose_name = "version of a standing distribution"
        verbose_name_plural = "versions of standing distributions"
        ordering = ["standing", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["standing", "number"], name="standing_version_number_unique"),
        ]
        indexes = [
            models.Index(fields=["standing"], condition=Q(retired_at=None), name="standing_version_kept"),
        ]

    def __str__(self) -> str:
        return f"{self.standing} version {self.number}"


class StandingNode(models.Model):
    """What one node's link names, by the node's own word; one row for each node that has it or is to have it."""

    standing = models.ForeignKey(Standing, on_delete=models.CASCADE, related_name="standing_nodes")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="standing_nodes")
    uses = models.ForeignKey(
        StandingVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="standing_nodes"
    )
    leaving = models.BooleanField(default=False, help_text="it is no longer to have it, and files are still there")
    why = models.TextField(blank=True, help_text="what is in the way")
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "node of a standing distribution"
        verbose_name_plural = "nodes of standing distributions"
        ordering = ["standing", "node"]
        constraints = [models.UniqueConstraint(fields=["standing", "node"], name="standing_node_unique")]
        indexes = [models.Index(fields=["standing", "uses"], name="standing_node_by_version")]

    def __str__(self) -> str:
        return f"{self.node} of {self.standing}"


class StandingEventKind(models.TextChoices):
    CREATED = "created"
    CHANGED = "changed"
    STARTED = "started"  # a version: its files begin to move
    SWITCHED = "switched"  # nodes are told to use a version, as soon as they have it
    REACHED = "reached"  # the share of the nodes that are up uses it
    BACK = "rolled_back"  # a person has nodes use an earlier version
    SUPERSEDED = "superseded"  # a version that was not used yet: there is a newer one
    RETIRED = "retired"  # a version is removed from nodes: newer ones are kept
    FAILED = "failed"  # a version's job
    TROUBLE = "trouble"  # the source cannot become a version
    PAUSED = "paused"
    RESUMED = "resumed"
    JOINED = "joined"  # a node is to have it
    LEFT = "left"  # a node is no longer to have it


class StandingEvent(models.Model):
    """What happened, in the order of `id`."""

    standing = models.ForeignKey(Standing, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=11, choices=StandingEventKind)
    version = models.PositiveIntegerField(null=True, blank=True)
    node = models.CharField(max_length=63, blank=True)
    why = models.TextField(blank=True)

    class Meta:
        verbose_name = "event of a standing distribution"
        verbose_name_plural = "events of standing distributions"
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=StandingEventKind.values), name="standing_event_kind_known")
        ]
        indexes = [models.Index(fields=["standing", "id"], name="standing_event_since")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.standing_id}"

    @classmethod
    def of(cls, standing: Standing, kind: str, **fields: Any) -> StandingEvent:
        """A new row, written."""
        return cls.objects.create(standing=standing, kind=kind, **fields)
