"""Webhooks in the admin, and the log of what was sent to each."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminURLInputWidget

from transfers.admin.base import ReadOnlyAdmin
from transfers.models import Webhook, WebhookDelivery
from transfers.models.webhook import JOB_KINDS
from transfers.webhooks import outbox
from transfers.webhooks.address import Allowed, ForbiddenAddress, parse_url


class WebhookForm(forms.ModelForm):
    url = forms.URLField(
        max_length=1000,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="https, unless this installation allows http",
    )
    kinds = forms.MultipleChoiceField(
        choices=[(str(kind), str(kind)) for kind in JOB_KINDS],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=[str(kind) for kind in JOB_KINDS],
        help_text="what it is told",
    )

    class Meta:
        model = Webhook
        fields = ["name", "url", "kinds", "active"]

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        try:
            parse_url(url, Allowed(http=settings.FDIST_WEBHOOK_HTTP, private=settings.FDIST_WEBHOOK_PRIVATE))
        except (ForbiddenAddress, ValueError) as error:
            raise forms.ValidationError(str(error)) from None
        return url


@admin.register(Webhook)
class WebhookAdmin(ModelAdmin):
    form = WebhookForm
    list_display = ["name", "url", "told", "active", "created_by", "created_at"]
    list_filter = ["active"]
    search_fields = ["name", "url"]
    list_select_related = ["created_by"]
    actions = ["ping_webhooks"]

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]
            obj.cell = settings.FDIST_CELL
        super().save_model(request, obj, form, change)
        if not change:
            messages.warning(request, f"The secret, shown this once: {obj.secret}")

    @admin.action(description="Ping", permissions=["change"])
    def ping_webhooks(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        for webhook in webhooks:
            outbox.ping(webhook)
            self.log_change(request, webhook, "Pinged.")
        messages.success(request, f"{len(webhooks)} pinged; the messages say what came of it.")

    @display(description="Told of")
    def told(self, webhook: Webhook) -> str:
        return ", ".join(webhook.kinds)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "webhook", "kind", "job", "shown_state", "attempts", "status", "error"]
    list_filter = ["state", "kind", "webhook"]
    search_fields = ["id", "webhook__name", "=job__id"]
    list_select_related = ["webhook", "job"]
    actions = ["send_again"]

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("transfers.change_webhookdelivery")

    @admin.action(description="Send again", permissions=["send"])
    def send_again(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        for delivery in deliveries:
            delivery.send_again()
            self.log_change(request, delivery, "Sent again.")
        messages.success(request, f"{len(deliveries)} to be sent again.")

    @display(
        description="State",
        label={"waiting": "info", "delivered": "success", "given_up": "danger"},
        ordering="state",
    )
    def shown_state(self, delivery: WebhookDelivery) -> str:
        return delivery.state
