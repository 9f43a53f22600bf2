"""Jobs in the admin, with what may be done to them."""

from __future__ import annotations

from collections.abc import Callable

import redis
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from nodes.labels import describe
from transfers import reopening, submission
from transfers.admin.asking import ask, asked
from transfers.admin.base import STATE_LABELS, ReadOnlyAdmin, whole
from transfers.admin.live import LiveJob
from transfers.errors import InvalidTransition
from transfers.models import Job, StandingVersion
from transfers.planning.request import MAX_PRIORITY
from transfers.words import size_text

SLOTS = ["gcs_slots", "upload_slots", "download_slots"]
MOMENTS = ["ready_at", "stalled_at", "finished_at", "purged_at"]


class PriorityForm(forms.Form):
    priority = forms.IntegerField(
        min_value=-MAX_PRIORITY,
        max_value=MAX_PRIORITY,
        initial=0,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="a higher one goes first, from the next match on",
    )


@admin.register(Job)
class JobAdmin(LiveJob, ReadOnlyAdmin):
    list_display = [
        "shown_name",
        "shown_state",
        "topology",
        "shown_size",
        "out_of_bucket",
        "created_by",
        "created_at",
        "live",
    ]
    list_filter = ["state", "topology", "created_at"]
    search_fields = ["id", "name", "source", "destination"]
    list_select_related = ["created_by"]
    date_hierarchy = "created_at"
    actions = [
        "pause_jobs",
        "resume_jobs",
        "cancel_jobs",
        "retry_jobs",
        "verify_jobs",
        "purge_jobs",
        "pin_jobs",
        "unpin_jobs",
        "change_priority",
    ]
    fieldsets = [
        ("Now", {"fields": list(LiveJob.live_fields)}),
        ("Recorded", {"fields": ["name", "shown_state", "error", "pinned", "out_of_bucket", "between_nodes"]}),
        ("Asked for", {"fields": ["source", "topology", "destination", "wanted_nodes", "priority", "policy", *SLOTS]}),
        ("Limits", {"fields": ["quorum", "shown_budget"]}),
        ("Planned", {"fields": ["shown_size", "file_count", "shown_shard_size", "shard_count"]}),
        ("When", {"fields": ["created_by", "created_at", "started_at", *MOMENTS]}),
    ]
    readonly_fields = [
        *LiveJob.live_fields,
        "shown_state",
        "wanted_nodes",
        "shown_size",
        "shown_shard_size",
        "out_of_bucket",
        "between_nodes",
        "shown_budget",
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """An open job would go on without its record: it is cancelled first. A version that nodes keep stays too."""
        if obj is not None and (obj.is_open or StandingVersion.objects.filter(job=obj, retired_at=None).exists()):
            return False
        return bool(super().has_delete_permission(request, obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        still_open = queryset.open()  # type: ignore[attr-defined]
        if count := still_open.count():
            messages.error(request, f"{count} still open and kept: cancel them first.")
        super().delete_queryset(request, queryset.exclude(pk__in=still_open.values("pk")))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.cancel_job")

    def has_purge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.purge_job")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.change_job")

    @admin.action(description="Pause", permissions=["steer"])
    def pause_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        reason = f"by {request.user} in the admin"
        self._act(request, jobs, lambda job: submission.pause(job, reason=reason), "is paused")

    @admin.action(description="Resume", permissions=["steer"])
    def resume_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        reason = f"by {request.user} in the admin"
        self._act(request, jobs, lambda job: submission.resume(job, reason=reason), "goes on")

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        reason = f"cancelled by {request.user} in the admin"
        self._act(request, jobs, lambda job: submission.cancel(job, reason), "is cancelled")

    @admin.action(description="Retry (nodes that are not done)", permissions=["steer"])
    def retry_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._act(request, jobs, reopening.retry, "goes on")

    @admin.action(description="Verify (nodes read their files again)", permissions=["steer"])
    def verify_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._act(request, jobs, reopening.verify, "is verified by its nodes")

    @admin.action(description="Remove files from nodes", permissions=["purge"])
    def purge_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._act(request, jobs, submission.purge, "is removed from its nodes")

    @admin.action(description="Pin (nodes keep its files)", permissions=["steer"])
    def pin_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._act(request, jobs, submission.pin, "is pinned")

    @admin.action(description="Unpin (its files may make room)", permissions=["steer"])
    def unpin_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._act(request, jobs, submission.unpin, "is unpinned")

    @admin.action(description="Change the priority...", permissions=["steer"])
    def change_priority(self, request: HttpRequest, jobs: QuerySet[Job]) -> TemplateResponse | None:
        form = PriorityForm(request.POST if asked(request) else None)
        if not form.is_valid():
            return ask(self, request, jobs, "change_priority", "Change the priority", form)
        priority = form.cleaned_data["priority"]
        self._act(request, jobs, lambda job: submission.set_priority(job, priority), f"has priority {priority} now")
        return None

    def _act(self, request: HttpRequest, jobs: QuerySet[Job], act: Callable[[Job], object], what: str) -> None:
        for job in jobs:
            try:
                act(job)
            except (InvalidTransition, redis.RedisError) as error:
                messages.error(request, f"{job}: {error}")
            else:
                self.log_change(request, job, f"{job} {what}.")
                messages.success(request, f"{job} {what}.")

    @display(description="Job", ordering="name")
    def shown_name(self, job: Job) -> str:
        return str(job)

    @display(description="State", label=STATE_LABELS, ordering="state")
    def shown_state(self, job: Job) -> str:
        return job.state

    @display(description="Size", ordering="size")
    def shown_size(self, job: Job) -> str:
        return whole(size_text(job.size))

    @display(description="Shard size")
    def shown_shard_size(self, job: Job) -> str:
        return whole(size_text(job.shard_size))

    @display(description="Out of the bucket", ordering="bytes_from_gcs")
    def out_of_bucket(self, job: Job) -> str:
        return f"{size_text(job.bytes_from_gcs)} ({job.amplification:.2f} x)"

    @display(description="Bucket budget")
    def shown_budget(self, job: Job) -> str:
        return "none" if job.bucket_budget is None else whole(size_text(job.bucket_budget))

    @display(description="Between nodes")
    def between_nodes(self, job: Job) -> str:
        return whole(size_text(job.bytes_from_peers))

    @display(description="For nodes")
    def wanted_nodes(self, job: Job) -> str:
        return describe(job.selector)
