"""Webhooks over REST, and the log of what was sent to each."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from transfers.api.filters import WebhookDeliveryFilter
from transfers.api.permissions import ModelPermissions, needs
from transfers.audit import note
from transfers.models import Webhook, WebhookDelivery
from transfers.models.webhook import JOB_KINDS, LEAST_SECRET, all_kinds, make_secret
from transfers.webhooks import outbox
from transfers.webhooks.address import Allowed, ForbiddenAddress, parse_url


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "tell a deployment that the weights are there",
            value={"name": "deploy", "url": "https://deploy.example.org/fdist", "kinds": ["ready", "failed"]},
            request_only=True,
        )
    ]
)
class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    name = serializers.RegexField(r"^[\w .@/-]{1,100}$", help_text="unique in the cell: letters, digits, space, .@/-_")
    url = serializers.CharField(max_length=1000, help_text="https, unless this installation allows http")
    kinds: Any = serializers.ListField(
        child=serializers.ChoiceField(choices=[str(kind) for kind in JOB_KINDS]),
        min_length=1,
        max_length=20,
        default=all_kinds,
        help_text="what it is told",
    )
    secret: Any = serializers.RegexField(
        rf"^[!-~]{{{LEAST_SECRET},200}}$",
        required=False,
        write_only=True,
        help_text="with which messages are signed; one is made, and shown this once, unless you give yours",
    )
    created_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True)

    class Meta:
        model = Webhook
        fields = ["id", "name", "url", "kinds", "active", "secret", "created_by", "created_at"]
        read_only_fields = ["id", "created_by", "created_at"]

    def validate_name(self, name: str) -> str:
        others = Webhook.objects.filter(cell=settings.FDIST_CELL, name=name)
        if self.instance is not None:
            others = others.exclude(pk=self.instance.pk)
        if others.exists():
            raise serializers.ValidationError(f'there is a webhook named "{name}" already')
        return name

    def validate_url(self, url: str) -> str:
        try:
            parse_url(url, Allowed(http=settings.FDIST_WEBHOOK_HTTP, private=settings.FDIST_WEBHOOK_PRIVATE))
        except (ForbiddenAddress, ValueError) as error:
            raise serializers.ValidationError(str(error)) from None
        return url

    def validate_kinds(self, kinds: list[str]) -> list[str]:
        return sorted(set(kinds))


class NewWebhookSerializer(WebhookSerializer):
    """With the secret, which is shown this once."""

    secret: Any = serializers.CharField(read_only=True)


class WebhookDeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "kind",
            "job",
            "state",
            "attempts",
            "status",
            "error",
            "created_at",
            "next_at",
            "delivered_at",
            "body",
        ]
        read_only_fields = fields


class WebhookViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Webhook],
):
    """Addresses that are told when a job is ready, complete, failed or stalled."""

    queryset = Webhook.objects.all()
    serializer_class = WebhookSerializer
    permission_classes = [ModelPermissions]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    lookup_value_converter = "int"
    ordering_fields = ["name", "created_at"]
    ordering = ["name", "id"]

    def get_queryset(self) -> QuerySet[Webhook]:
        return Webhook.objects.filter(cell=settings.FDIST_CELL).select_related("created_by")

    @extend_schema(request=WebhookSerializer, responses={201: NewWebhookSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Adds one. The answer has its secret, which cannot be read again."""
        asked = WebhookSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        secret = asked.validated_data.pop("secret", None) or make_secret()
        webhook = asked.save(cell=settings.FDIST_CELL, created_by=request.user, secret=secret)
        note(request.user, webhook, "Added", made=True, where="by the API")
        return Response(NewWebhookSerializer(webhook).data, status=status.HTTP_201_CREATED)

    def perform_update(self, serializer: Any) -> None:
        changed = sorted(serializer.validated_data)
        webhook = serializer.save()
        note(self.request.user, webhook, f"Changed {', '.join(changed) or 'nothing'}", where="by the API")

    def perform_destroy(self, instance: Webhook) -> None:
        note(self.request.user, instance, "Deleted", where="by the API")
        instance.delete()

    @extend_schema(request=None, responses={202: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.change_webhook")])
    def ping(self, request: Request, **kwargs: Any) -> Response:
        """Sends it a message that tells nothing; see in its deliveries whether it arrived."""
        webhook = self.get_object()
        delivery = outbox.ping(webhook)
        note(request.user, webhook, "Pinged", where="by the API")
        return Response(WebhookDeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


class WebhookDeliveries(ListAPIView[WebhookDelivery]):
    """What was sent to a webhook and what came of it, newest first; kept for 30 days."""

    queryset = WebhookDelivery.objects.all()
    serializer_class = WebhookDeliverySerializer
    permission_classes = [needs("transfers.view_webhookdelivery")]
    filterset_class = WebhookDeliveryFilter
    ordering_fields = ["created_at", "next_at"]
    ordering = ["-created_at", "id"]

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):  # the schema is made without an address
            return rows
        webhook = get_object_or_404(Webhook, pk=self.kwargs["pk"], cell=settings.FDIST_CELL)
        return rows.filter(webhook=webhook)
