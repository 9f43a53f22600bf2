"""What the admin pages of machine-written rows share."""

from __future__ import annotations

from django.http import HttpRequest
from unfold.admin import ModelAdmin

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


class ReadOnlyAdmin(ModelAdmin):
    """For rows that only the coordinator writes: people act by actions, on the same code path as the API."""

    show_full_result_count = False  # counting a million rows costs more than showing a page of them
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False
