"""The fleet in the admin: nodes are machine-written, enrolment keys are made and revoked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from nodes import fleet
from nodes.models import EnrolmentKey, Node
from transfers.errors import InvalidTransition
from transfers.links import get_links
from transfers.words import size_text


@admin.register(Node)
class NodeAdmin(ModelAdmin):
    list_display = ["name", "shown_state", "address", "shown_labels", "free", "version", "last_seen"]
    list_filter = ["state", "draining", "version"]
    search_fields = ["name", "address"]
    ordering = ["name"]
    list_per_page = 25
    show_full_result_count = False
    fields = [
        "name",
        "shown_state",
        "draining",
        "address",
        "shown_labels",
        "free",
        "slots",
        "version",
        "first_seen",
        "last_seen",
    ]
    readonly_fields = ["shown_state", "shown_labels", "free", "slots"]
    actions = ["drain_nodes", "enable_nodes", "remove_nodes"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a node registers itself

    def has_change_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        return False  # and tells what it is

    def has_delete_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        return False  # its history would go with it: it is removed by the action

    def has_drain_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("nodes.drain_node")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("nodes.remove_node")

    @admin.action(description="Drain", permissions=["drain"])
    def drain_nodes(self, request: HttpRequest, nodes: QuerySet[Node]) -> None:
        self._act(request, nodes, lambda node: fleet.set_draining(node, True, get_links().scheduler), "drains")

    @admin.action(description="Enable", permissions=["drain"])
    def enable_nodes(self, request: HttpRequest, nodes: QuerySet[Node]) -> None:
        self._act(request, nodes, lambda node: fleet.set_draining(node, False, get_links().scheduler), "is enabled")

    @admin.action(description="Remove (nodes that are gone)", permissions=["remove"])
    def remove_nodes(self, request: HttpRequest, nodes: QuerySet[Node]) -> None:
        self._act(request, nodes, fleet.remove, "is removed")

    def _act(self, request: HttpRequest, nodes: QuerySet[Node], act: Callable[[Node], object], what: str) -> None:
        for node in nodes:
            try:
                act(node)
            except (InvalidTransition, redis.RedisError) as error:
                messages.error(request, f"{node}: {error}")
            else:
                self.log_change(request, node, f"{node} {what}.")
                messages.success(request, f"{node} {what}.")

    @display(description="Slots")
    def slots(self, node: Node) -> str:
        return f"{node.upload_slots} up, {node.download_slots} down, {node.gcs_slots} from the bucket"

    @display(description="State", label={"live": "success", "draining": "warning", "dead": "danger"}, ordering="state")
    def shown_state(self, node: Node) -> str:
        return node.state

    @display(description="Labels")
    def shown_labels(self, node: Node) -> str:
        return ", ".join(f"{key}={value}" for key, value in node.labels.items())

    @display(description="Free disk", ordering="disk_free")
    def free(self, node: Node) -> str:
        return f"{size_text(node.disk_free)} of {size_text(node.disk_total)}"


@admin.register(EnrolmentKey)
class EnrolmentKeyAdmin(ModelAdmin):
    list_display = ["name", "shown", "created_by", "created_at", "expires_at", "revoked_at"]
    list_filter = ["revoked_at"]
    search_fields = ["name", "shown"]
    list_select_related = ["created_by"]
    fields = ["name", "expires_at"]
    actions = ["revoke_keys"]

    def get_readonly_fields(self, request: HttpRequest, obj: EnrolmentKey | None = None) -> list[str]:
        return ["shown", "created_by", "created_at", "revoked_at"] if obj else []

    def get_fields(self, request: HttpRequest, obj: EnrolmentKey | None = None) -> list[str]:
        fields = ["name", "expires_at"]
        return [*fields, "shown", "created_by", "created_at", "revoked_at"] if obj else fields

    def save_model(self, request: HttpRequest, obj: EnrolmentKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made, key = EnrolmentKey.issue(obj.name, expires_at=obj.expires_at, created_by=request.user)
        obj.pk = made.pk
        obj.refresh_from_db()
        messages.warning(request, f"The key, shown this once: {key}")

    @admin.action(description="Revoke", permissions=["change"])
    def revoke_keys(self, request: HttpRequest, keys: QuerySet[EnrolmentKey]) -> None:
        for key in keys:
            key.revoke()
            self.log_change(request, key, "Revoked.")
        messages.success(request, f"{len(keys)} revoked; nodes that are registered stay.")
