"""The fleet in the admin: nodes are machine-written, enrolment keys are made and revoked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from nodes import fleet
from nodes.heard import as_heard
from nodes.models import MAX_CAP, EnrolmentKey, Node
from transfers.admin.asking import ask, asked
from transfers.errors import InvalidTransition
from transfers.links import get_links
from transfers.words import bits_text, parse_rate, size_text


class CapField(forms.CharField):
    """A rate such as "400mbit"; empty is the node's own setting, "none" no cap."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, **options: Any) -> None:
        help_text = 'such as 400mbit or 2.5gbit; "none" for no cap, empty for the node\'s own setting'
        super().__init__(required=False, help_text=help_text, **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int):
            return "none" if value == 0 else bits_text(value)
        return value

    def clean(self, value: Any) -> int | None:
        text = str(super().clean(value)).strip()
        if not text:
            return None
        try:
            cap = parse_rate(text) or 0
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        if cap > MAX_CAP:
            raise forms.ValidationError(f"at most {bits_text(MAX_CAP)}")
        return cap

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(initial != self.clean(data))
        except forms.ValidationError:
            return True


class CapsForm(forms.ModelForm):
    upload_cap = CapField()
    download_cap = CapField()
    bucket_cap = CapField()

    class Meta:
        model = Node
        fields = ["upload_cap", "download_cap", "bucket_cap"]


class ChangedCapField(CapField):
    """The same for several nodes: what is left empty stays as it is on each."""

    OWN = "own"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.help_text = f'such as 400mbit; "none" for no cap, "{self.OWN}" for each node\'s own, empty to leave it'

    def clean(self, value: Any) -> int | None:
        return None if str(value or "").strip().lower() == self.OWN else super().clean(value)


class ChangedCapsForm(forms.Form):
    upload_cap = ChangedCapField(label="Upload cap")
    download_cap = ChangedCapField(label="Download cap")
    bucket_cap = ChangedCapField(label="Bucket cap")

    def clean(self) -> dict[str, int | None]:
        """Those that were given."""
        given = {name for name in self.fields if str(self.data.get(name, "")).strip()}
        if not given:
            raise forms.ValidationError("Give one cap at least.")
        return {name: value for name, value in self.cleaned_data.items() if name in given}


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
        "upload_cap",
        "download_cap",
        "bucket_cap",
        "version",
        "first_seen",
        "last_seen",
    ]
    form = CapsForm
    actions = ["drain_nodes", "enable_nodes", "cap_nodes", "remove_nodes"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a node registers itself

    def has_change_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        return request.user.has_perm("nodes.cap_node")  # and tells what it is, but for its caps

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        as_heard(found.result_list, get_links().scheduler)  # the rows that it shows: a queryset keeps what it read
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Node | None:
        found: Node | None = super().get_object(request, object_id, from_field)
        return found if found is None else as_heard([found], get_links().scheduler)[0]

    def get_readonly_fields(self, request: HttpRequest, obj: Node | None = None) -> list[str]:
        return [name for name in self.fields if name not in fleet.CAPS]

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:
        caps = {name: form.cleaned_data[name] for name in form.changed_data}
        if not caps:
            return
        try:
            fleet.set_caps(Node.objects.get(pk=obj.pk), caps, get_links().scheduler)
        except redis.RedisError as error:
            messages.error(request, f"The scheduler cannot be reached, and nothing was changed: {error}")

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> str:
        return fleet.caps_text({name: form.cleaned_data[name] for name in form.changed_data}) + "."

    def has_delete_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        return False  # its history would go with it: it is removed by the action

    def has_drain_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("nodes.drain_node")

    def has_cap_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("nodes.cap_node")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("nodes.remove_node")

    @admin.action(description="Drain", permissions=["drain"])
    def drain_nodes(self, request: HttpRequest, nodes: QuerySet[Node]) -> None:
        self._act(request, nodes, lambda node: fleet.set_draining(node, True, get_links().scheduler), "drains")

    @admin.action(description="Enable", permissions=["drain"])
    def enable_nodes(self, request: HttpRequest, nodes: QuerySet[Node]) -> None:
        self._act(request, nodes, lambda node: fleet.set_draining(node, False, get_links().scheduler), "is enabled")

    @admin.action(description="Change bandwidth caps...", permissions=["cap"])
    def cap_nodes(self, request: HttpRequest, nodes: QuerySet[Node]) -> TemplateResponse | None:
        form = ChangedCapsForm(request.POST if asked(request) else None)
        if not form.is_valid():
            return ask(self, request, nodes, "cap_nodes", "Change bandwidth caps", form)
        caps = form.cleaned_data
        scheduler, what = get_links().scheduler, fleet.caps_text(caps).replace("Capped", "is capped:", 1)
        self._act(request, nodes, lambda node: fleet.set_caps(node, caps, scheduler), what)
        return None

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
