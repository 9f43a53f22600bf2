"""What the admin pages of machine-written rows share."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

MOST_COUNTED = 10_000

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
    "cancelled": "warning",
    "stopped": "info",
}


def whole(text: str) -> str:
    """A figure and its unit, which a narrow column shall not part."""
    return text.replace(" ", "\u00a0")


class BoundedPaginator(Paginator):
    """Counts up to 10,000 rows and pages through so many: who looks for older ones filters or searches."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[:MOST_COUNTED].count()


def job_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


class ReadOnlyAdmin(ModelAdmin):
    """For rows that only the coordinator writes: people act by actions, on the same code path as the API."""

    paginator = BoundedPaginator  # counting a million rows costs more than showing a page of them
    show_full_result_count = False
    list_per_page = 25

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False
