"""What belongs to jobs in the admin: to look at, and nothing else."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Length, Substr
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from unfold.decorators import display

from nodes.models import Node
from transfers.admin.base import STATE_LABELS, ReadOnlyAdmin, job_id, whole
from transfers.models import JobDocument, JobEvent, JobFile, JobNode, Shard, StreamCursor, Transfer
from transfers.words import duration_text, rate_text, size_text

SHOWN_CHARACTERS = 5000
UNBROKEN = 16


@admin.register(JobFile)
class JobFileAdmin(ReadOnlyAdmin):
    list_display = ["name", "job", "shown_size", "crc32c", "generation"]
    search_fields = ["name", "job__id", "job__name"]
    list_select_related = ["job"]
    raw_id_fields = ["job"]

    @display(description="Size", ordering="size")
    def shown_size(self, file: JobFile) -> str:
        return whole(size_text(file.size))


@admin.register(Shard)
class ShardAdmin(ReadOnlyAdmin):
    list_display = ["index", "job", "shown_size", "crc32c"]
    list_filter = [("crc32c", admin.EmptyFieldListFilter)]
    search_fields = ["=index", "job__id", "job__name"]
    list_select_related = ["job"]

    @display(description="Size", ordering="size")
    def shown_size(self, shard: Shard) -> str:
        return whole(size_text(shard.size))


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
        return whole(size_text(row.bytes_from_gcs))

    @display(description="From peers", ordering="bytes_from_peers")
    def from_peers(self, row: JobNode) -> str:
        return whole(size_text(row.bytes_from_peers))


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ["shard", "job", "node", "shown_source", "shown_outcome", "why", "took", "rate", "ended_at"]
    list_filter = ["outcome"]
    search_fields = ["=node__name", "=source__name", "=job__id"]
    search_help_text = "a node's name, or a job's id"
    list_select_related = ["job", "node", "source"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Transfer], search_term: str
    ) -> tuple[QuerySet[Transfer], bool]:
        """What is searched for is looked up first: a condition on joined tables would read a million rows."""
        term = search_term.strip()
        if not term:
            return queryset, False
        nodes = list(Node.objects.filter(name=term).values_list("pk", flat=True))
        found = Q(node__in=nodes) | Q(source__in=nodes)
        return queryset.filter(found | Q(job=job) if (job := job_id(term)) else found), False

    @display(description="Source")
    def shown_source(self, row: Transfer) -> str:
        return row.source.name if row.source else "bucket"

    @display(description="Outcome", label=STATE_LABELS, ordering="outcome")
    def shown_outcome(self, row: Transfer) -> str:
        return row.outcome

    @display(description="Took", ordering="milliseconds")
    def took(self, row: Transfer) -> str:
        return whole(duration_text(row.milliseconds / 1000))

    @display(description="Rate")
    def rate(self, row: Transfer) -> str:
        return whole(rate_text(row.bytes * 1000 / row.milliseconds)) if row.milliseconds else ""


@admin.register(StreamCursor)
class StreamCursorAdmin(ReadOnlyAdmin):
    list_display = ["cell", "position", "moved_at"]


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "job", "kind", "node", "shown_state", "why"]
    list_filter = ["kind"]
    search_fields = ["=node__name", "job__id", "job__name"]
    list_select_related = ["job", "node"]
    ordering = ["-id"]

    @display(description="State", label=STATE_LABELS, ordering="state")
    def shown_state(self, row: JobEvent) -> str:
        return row.state


@admin.register(JobDocument)
class JobDocumentAdmin(ReadOnlyAdmin):
    """A plan may have megabytes: only its beginning is ever read here."""

    list_display = ["job", "characters"]
    search_fields = ["job__id", "job__name"]
    list_select_related = ["job"]
    fields = ["job", "characters", "beginning"]
    readonly_fields = ["characters", "beginning"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobDocument]:
        rows: QuerySet[JobDocument] = super().get_queryset(request)
        return rows.defer("text").annotate(length=Length("text"), head=Substr("text", 1, SHOWN_CHARACTERS))

    @display(description="Characters")
    def characters(self, row: JobDocument) -> str:
        return f"{row.length:,}"  # type: ignore[attr-defined]

    @display(description="Beginning")
    def beginning(self, row: JobDocument) -> str:
        """It may be broken anywhere: a plan has no spaces."""
        head = str(row.head)  # type: ignore[attr-defined]
        parts = ((head[at : at + UNBROKEN],) for at in range(0, len(head), UNBROKEN))
        return format_html_join(mark_safe("<wbr>"), "{}", parts)
