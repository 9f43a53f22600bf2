"""Standing distributions in the admin, with what may be done to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from nodes.labels import describe
from transfers.admin.asking import ask, asked
from transfers.admin.base import ReadOnlyAdmin, whole
from transfers.dataplane.current import LINK
from transfers.errors import InvalidTransition, PlanError
from transfers.models import Standing, StandingEvent, StandingNode, StandingVersion
from transfers.standing import acts
from transfers.standing.report import state_of, version_state, with_figures
from transfers.words import duration_text, size_text

STATE_LABELS = {
    "waiting": "info",
    "moving": "warning",
    "switching": "warning",
    "current": "success",
    "failed": "danger",
    "rolled back": "warning",
    "paused": "info",
    "kept": "info",
    "removed": "info",
}


class CopiesForm(forms.Form):
    copies = forms.ChoiceField(
        choices=[("keep", "stay on the nodes, with the links"), ("purge", "are removed from every node")],
        widget=UnfoldAdminRadioSelectWidget,
        help_text="what becomes of the versions",
    )


@admin.register(Standing)
class StandingAdmin(ReadOnlyAdmin):
    list_display = [
        "name",
        "shown_state",
        "source",
        "for_nodes",
        "version",
        "in_use",
        "behind",
        "checked_at",
        "created_by",
    ]
    list_filter = ["paused", ("trouble", admin.EmptyFieldListFilter), "created_at"]
    search_fields = ["name", "source", "destination"]
    list_select_related = ["wanted", "created_by"]
    actions = ["check_sources", "pause", "resume", "roll_back", "end"]
    fieldsets = [
        ("Now", {"fields": ["name", "shown_state", "version", "in_use", "behind", "trouble", "passed_over"]}),
        ("Asked for", {"fields": ["source", "for_nodes", "link", "share", "versions_kept", "options", "paused"]}),
        ("The source", {"fields": ["every", "settles", "marker", "checked_at", "check_at", "seen_since"]}),
        ("When", {"fields": ["created_by", "created_at"]}),
    ]
    readonly_fields = [
        "shown_state",
        "for_nodes",
        "version",
        "in_use",
        "behind",
        "link",
        "every",
        "settles",
        "trouble",
        "passed_over",
        "checked_at",
        "check_at",
        "seen_since",
        "created_by",
        "created_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Standing]:
        rows: QuerySet[Standing] = super().get_queryset(request)
        return with_figures(rows)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who ends one says what becomes of the copies: by the action."""
        return False

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.delete_standing")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.change_standing")

    def has_rollback_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.rollback_standing")

    @admin.action(description="Look at the source now", permissions=["steer"])
    def check_sources(self, request: HttpRequest, standings: QuerySet[Standing]) -> None:
        self._act(request, standings, acts.check, "is looked at")

    @admin.action(description="Pause", permissions=["steer"])
    def pause(self, request: HttpRequest, standings: QuerySet[Standing]) -> None:
        self._act(request, standings, lambda found: acts.pause(found, f"by {request.user} in the admin"), "is paused")

    @admin.action(description="Resume (also after a rollback)", permissions=["steer"])
    def resume(self, request: HttpRequest, standings: QuerySet[Standing]) -> None:
        self._act(request, standings, lambda found: acts.resume(found, f"by {request.user} in the admin"), "goes on")

    @admin.action(description="Roll back to the version before", permissions=["rollback"])
    def roll_back(self, request: HttpRequest, standings: QuerySet[Standing]) -> None:
        why = f"by {request.user} in the admin"
        self._act(request, standings, lambda found: acts.rollback(found, why=why), "is rolled back")

    @admin.action(description="End...", permissions=["end"])
    def end(self, request: HttpRequest, standings: QuerySet[Standing]) -> TemplateResponse | None:
        form = CopiesForm(request.POST if asked(request) else None)
        if not form.is_valid():
            return ask(self, request, standings, "end", "End standing distributions: their copies", form)
        purge = form.cleaned_data["copies"] == "purge"
        if purge and not request.user.has_perm("transfers.purge_job"):
            messages.error(request, "Removing copies needs the permission transfers.purge_job.")
            return None
        what = "is ended, its copies " + ("are removed" if purge else "stay")
        for standing in standings:
            self.log_change(request, standing, f"{standing} {what}.")
            acts.delete(standing, purge=purge)
            messages.success(request, f"{standing} {what}.")
        return None

    def _act(
        self, request: HttpRequest, standings: QuerySet[Standing], act: Callable[[Standing], object], what: str
    ) -> None:
        for standing in standings:
            try:
                act(standing)
            except (InvalidTransition, PlanError, redis.RedisError) as error:
                messages.error(request, f"{standing}: {error}")
            else:
                self.log_change(request, standing, f"{standing} {what}.")
                messages.success(request, f"{standing} {what}.")

    @display(description="State", label=STATE_LABELS)
    def shown_state(self, standing: Standing) -> str:
        return state_of(standing).replace("_", " ")

    @display(description="For nodes")
    def for_nodes(self, standing: Standing) -> str:
        return describe(standing.selector)

    @display(description="Version", ordering="wanted__number")
    def version(self, standing: Any) -> str:
        current = standing.current_number
        newest = "" if standing.newest_version in (current, 0) else f" of {standing.newest_version}"
        return f"{current or '-'}{newest}"

    @display(description="In use on")
    def in_use(self, standing: Any) -> str:
        return f"{standing.nodes_current:,} of {standing.nodes_up:,}"

    @display(description="Behind", ordering="nodes_behind")
    def behind(self, standing: Any) -> str:
        return f"{standing.nodes_behind:,}" if standing.nodes_behind else ""

    @display(description="Link")
    def link(self, standing: Standing) -> str:
        return f"{standing.destination}/{LINK}" if standing.destination else LINK

    @display(description="Looked at every")
    def every(self, standing: Standing) -> str:
        return duration_text(standing.check_seconds)

    @display(description="Must be unchanged for")
    def settles(self, standing: Standing) -> str:
        return duration_text(standing.settle_seconds)


@admin.register(StandingVersion)
class StandingVersionAdmin(ReadOnlyAdmin):
    list_display = ["standing", "number", "shown_state", "shown_size", "job", "created_at", "current_at", "retired_at"]
    list_filter = [("retired_at", admin.EmptyFieldListFilter), ("failure", admin.EmptyFieldListFilter)]
    search_fields = ["standing__name", "=number"]
    list_select_related = ["standing", "job"]
    raw_id_fields = ["job"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One that nodes keep stays, and its job with it."""
        return bool(super().has_delete_permission(request, obj)) and (obj is None or obj.retired_at is not None)

    @display(description="State", label=STATE_LABELS)
    def shown_state(self, version: StandingVersion) -> str:
        return version_state(version, version.standing)

    @display(description="Size", ordering="job__size")
    def shown_size(self, version: StandingVersion) -> str:
        return whole(size_text(version.job.size))


@admin.register(StandingNode)
class StandingNodeAdmin(ReadOnlyAdmin):
    list_display = ["node", "standing", "uses", "leaving", "why", "changed_at"]
    list_filter = ["leaving", ("why", admin.EmptyFieldListFilter)]
    search_fields = ["node__name", "standing__name"]
    list_select_related = ["node", "standing", "uses__standing"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StandingEvent)
class StandingEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "standing", "kind", "version", "node", "why"]
    list_filter = ["kind"]
    search_fields = ["standing__name", "node"]
    list_select_related = ["standing"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
