"""Enrolment keys over REST: made, listed and revoked by those who may let nodes into the fleet."""

from __future__ import annotations

import logging
from typing import Any

import django_filters
import redis
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from nodes.models import EnrolmentKey
from transfers.api.permissions import ModelPermissions, needs
from transfers.audit import note
from transfers.links import get_links

logger = logging.getLogger(__name__)


class EnrolmentKeySerializer(serializers.ModelSerializer[EnrolmentKey]):
    name = serializers.RegexField(r"^[\w .@/-]{1,100}$", help_text="unique: who uses it, such as an instance group")
    shown: Any = serializers.CharField(read_only=True, help_text="the first characters of the key")
    expires_at: Any = serializers.DateTimeField(
        required=False, allow_null=True, help_text="no node registers with it from then on; never, unless given"
    )
    created_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True)

    class Meta:
        model = EnrolmentKey
        fields = ["id", "name", "shown", "created_by", "created_at", "expires_at", "revoked_at"]
        read_only_fields = ["id", "shown", "created_by", "created_at", "revoked_at"]

    def validate_name(self, name: str) -> str:
        if EnrolmentKey.objects.filter(name=name).exists():
            raise serializers.ValidationError(f'there is a key named "{name}" already')
        return name

    def validate_expires_at(self, at: Any) -> Any:
        if at is not None and at <= timezone.now():
            raise serializers.ValidationError("is in the past: give a time to come")
        return at


class NewEnrolmentKeySerializer(EnrolmentKeySerializer):
    key = serializers.CharField(read_only=True, help_text="shown this once: FDIST_ENROLMENT_KEY of the agents")

    class Meta(EnrolmentKeySerializer.Meta):
        fields = [*EnrolmentKeySerializer.Meta.fields, "key"]


class EnrolmentKeyFilter(django_filters.FilterSet):
    valid = django_filters.BooleanFilter(method="that_are_valid", help_text="whether nodes may register with it now")
    name = django_filters.CharFilter(lookup_expr="icontains")

    class Meta:
        model = EnrolmentKey
        fields: list[str] = []

    def that_are_valid(self, rows: QuerySet[EnrolmentKey], name: str, value: bool) -> QuerySet[EnrolmentKey]:
        valid = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=Now()))
        return rows.filter(valid if value else ~valid)


class EnrolmentKeyViewSet(
    mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[EnrolmentKey]
):
    """Secrets with which nodes register. Only a digest is kept: the key itself is in the answer that makes it."""

    queryset = EnrolmentKey.objects.select_related("created_by")
    serializer_class = EnrolmentKeySerializer
    permission_classes = [ModelPermissions]
    filterset_class = EnrolmentKeyFilter
    lookup_value_converter = "int"
    ordering_fields = ["created_at", "name", "expires_at"]
    ordering = ["-created_at", "id"]

    @extend_schema(request=EnrolmentKeySerializer, responses={201: NewEnrolmentKeySerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Makes a key. Nodes may register with it at once."""
        asked = EnrolmentKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made, key = EnrolmentKey.issue(**asked.validated_data, created_by=request.user)
        note(request.user, made, "Made", made=True, where="by the API")
        publish_keys()
        return Response({**EnrolmentKeySerializer(made).data, "key": key}, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={200: EnrolmentKeySerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("nodes.change_enrolmentkey")])
    def revoke(self, request: Request, **kwargs: Any) -> Response:
        """No node registers with it any more; those that have stay."""
        key = self.get_object()
        key.revoke()
        note(request.user, key, "Revoked", where="by the API")
        publish_keys()
        return Response(EnrolmentKeySerializer(key).data)


def publish_keys() -> None:
    """At once, so that a node can register without a wait; the planner does it each second anyway."""
    try:
        digests = list(EnrolmentKey.objects.valid().values_list("digest", flat=True))
        get_links().scheduler.set_enrolment_keys(digests)
    except redis.RedisError as error:
        logger.warning("the coordinator will publish the enrolment keys error=%s", error)
