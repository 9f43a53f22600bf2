"""Jobs and what belongs to them in the admin. All rows are machine-written: people act by actions, on the same code
path as the API."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from nodes.labels import describe
from transfers import submission
from transfers.errors import InvalidTransition
from transfers.models import Job, JobFile, JobNode, Shard, StreamCursor, Transfer
from transfers.words import duration_text, rate_text, size_text

STATE_LABELS = {
    "planned": "info",
    "enrolled": "info",
    "running": "warning",
    "moving": "warning",
    "paused": "info",
    "complete": "success",
    "done": "success",
    "failed": "danger",
    "corrupt": "danger",
    "expired": "danger",
    "cancelled": "danger",
}


class ReadOnlyAdmin(ModelAdmin):
    """For rows that only the coordinator writes."""

    show_full_result_count = False  # counting a million rows costs more than showing a page of them

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
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
    actions = ["cancel_jobs", "purge_jobs"]
    exclude = ["selector", "size", "shard_size", "bytes_from_gcs", "bytes_from_peers"]
    readonly_fields = ["live", "wanted_nodes", "shown_size", "shown_shard_size", "out_of_bucket", "between_nodes"]

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """An open job would go on without its record: it is cancelled first."""
        return super().has_delete_permission(request, obj) and (obj is None or not obj.is_open)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        still_open = queryset.open()  # type: ignore[attr-defined]
        if count := still_open.count():
            messages.error(request, f"{count} still open and kept: cancel them first.")
        super().delete_queryset(request, queryset.exclude(pk__in=still_open.values("pk")))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.cancel_job")

    def has_purge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.purge_job")

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        for job in jobs:
            try:
                submission.cancel(job, f"cancelled by {request.user} in the admin")
            except InvalidTransition as error:
                messages.error(request, str(error))
            else:
                self.log_change(request, job, "Cancelled.")
                messages.success(request, f"{job} is cancelled.")

    @admin.action(description="Remove files from nodes", permissions=["purge"])
    def purge_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        for job in jobs:
            try:
                count = submission.purge(job)
            except InvalidTransition as error:
                messages.error(request, str(error))
            else:
                self.log_change(request, job, "Purged.")
                messages.success(request, f"{count} nodes remove the files of {job}.")

    @display(description="Job", ordering="name")
    def shown_name(self, job: Job) -> str:
        return str(job)

    @display(description="State", label=STATE_LABELS, ordering="state")
    def shown_state(self, job: Job) -> str:
        return job.state

    @display(description="Size", ordering="size")
    def shown_size(self, job: Job) -> str:
        return size_text(job.size)

    @display(description="Shard size")
    def shown_shard_size(self, job: Job) -> str:
        return size_text(job.shard_size)

    @display(description="Out of the bucket", ordering="bytes_from_gcs")
    def out_of_bucket(self, job: Job) -> str:
        return f"{size_text(job.bytes_from_gcs)} ({job.amplification:.2f} x)"

    @display(description="Between nodes")
    def between_nodes(self, job: Job) -> str:
        return size_text(job.bytes_from_peers)

    @display(description="For nodes")
    def wanted_nodes(self, job: Job) -> str:
        return describe(job.selector)

    @display(description="Live page")
    def live(self, job: Job) -> str:
        return format_html('<a href="{}">open</a>', reverse("job", args=[job.pk]))


@admin.register(JobFile)
class JobFileAdmin(ReadOnlyAdmin):
    list_display = ["name", "job", "shown_size", "crc32c", "generation"]
    search_fields = ["name", "job__id", "job__name"]
    list_select_related = ["job"]
    raw_id_fields = ["job"]

    @display(description="Size", ordering="size")
    def shown_size(self, file: JobFile) -> str:
        return size_text(file.size)


@admin.register(Shard)
class ShardAdmin(ReadOnlyAdmin):
    list_display = ["index", "job", "shown_size", "crc32c"]
    list_filter = [("crc32c", admin.EmptyFieldListFilter)]
    search_fields = ["=index", "job__id", "job__name"]
    list_select_related = ["job"]

    @display(description="Size", ordering="size")
    def shown_size(self, shard: Shard) -> str:
        return size_text(shard.size)


@admin.register(JobNode)
class JobNodeAdmin(ReadOnlyAdmin):
    list_display = ["node", "job", "shown_state", "held", "from_bucket", "from_peers", "failures", "finished_at"]
    list_filter = ["state"]
    search_fields = ["node__name", "job__id", "job__name"]
    list_select_related = ["job", "node"]

    @display(description="State", label=STATE_LABELS, ordering="state")
    def shown_state(self, row: JobNode) -> str:
        return row.state

    @display(description="Shards", ordering="shards_held")
    def held(self, row: JobNode) -> str:
        return f"{row.shards_held:,} of {row.job.shard_count:,}"

    @display(description="From the bucket", ordering="bytes_from_gcs")
    def from_bucket(self, row: JobNode) -> str:
        return size_text(row.bytes_from_gcs)

    @display(description="From peers", ordering="bytes_from_peers")
    def from_peers(self, row: JobNode) -> str:
        return size_text(row.bytes_from_peers)


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ["shard", "job", "node", "shown_source", "shown_outcome", "why", "took", "rate", "ended_at"]
    list_filter = ["outcome"]
    search_fields = ["=node__name", "=source__name", "=job__id"]
    list_select_related = ["job", "node", "source"]

    @display(description="Source")
    def shown_source(self, row: Transfer) -> str:
        return row.source.name if row.source else "bucket"

    @display(description="Outcome", label=STATE_LABELS, ordering="outcome")
    def shown_outcome(self, row: Transfer) -> str:
        return row.outcome

    @display(description="Took", ordering="milliseconds")
    def took(self, row: Transfer) -> str:
        return duration_text(row.milliseconds / 1000)

    @display(description="Rate")
    def rate(self, row: Transfer) -> str:
        return rate_text(row.bytes * 1000 / row.milliseconds) if row.milliseconds else ""


@admin.register(StreamCursor)
class StreamCursorAdmin(ReadOnlyAdmin):
    list_display = ["cell", "position", "moved_at"]
