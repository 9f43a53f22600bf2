"""Standing distributions over REST. Thin: shape in, `transfers.standing.acts`, rows out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet, Value
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.throttling import BaseThrottle

from transfers.api.filters import StandingEventFilter, StandingFilter, StandingNodeFilter
from transfers.api.pagination import EventPages
from transfers.api.permissions import ModelPermissions, needs
from transfers.api.standing_serializers import (
    COPIES,
    RollbackSerializer,
    StandingChangeSerializer,
    StandingEventSerializer,
    StandingNodeSerializer,
    StandingRequestSerializer,
    StandingSerializer,
    StandingVersionSerializer,
)
from transfers.audit import note
from transfers.models import Standing, StandingEvent, StandingNode, StandingVersion
from transfers.standing import acts
from transfers.standing.report import nodes_of, versions_with_figures, with_figures

Row = TypeVar("Row", bound=Model)
CHANGE = [needs("transfers.change_standing")]
PURGE = "transfers.purge_job"


class StandingViewSet(
    mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Standing]
):
    """Sources that nodes with some labels have at all times, version after version."""

    queryset = Standing.objects.all()
    serializer_class = StandingSerializer
    permission_classes = [ModelPermissions]
    filterset_class = StandingFilter
    lookup_field = "name"
    lookup_value_regex = "[a-z0-9][a-z0-9._-]*"
    ordering_fields = ["name", "created_at", "checked_at"]
    ordering = ["name"]
    problems = dict.fromkeys(("pause", "resume", "check", "rollback"), (409,)) | {"destroy": (400,)}

    def get_queryset(self) -> QuerySet[Standing]:
        rows = Standing.objects.filter(cell=settings.FDIST_CELL).select_related("wanted", "created_by")
        return with_figures(rows)

    def get_permissions(self) -> Any:
        special = {"destroy": "transfers.delete_standing", "partial_update": "transfers.change_standing"}
        return [needs(special[self.action])()] if self.action in special else super().get_permissions()

    def get_throttles(self) -> list[BaseThrottle]:
        self.throttle_scope = "submit" if self.action == "create" else None
        return super().get_throttles()

    @extend_schema(request=StandingRequestSerializer, responses={201: StandingSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Makes one. Its first version starts when the source has settled, or its marker is there."""
        asked = StandingRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        standing = acts.create(asked.validated_data, request.user)
        note(request.user, standing, "Added", made=True, where="by the API")
        place = reverse("standing-detail", kwargs={**self.kwargs, "name": standing.name}, request=request)
        return Response(self._read(standing), status=status.HTTP_201_CREATED, headers={"Location": place})

    @extend_schema(request=StandingChangeSerializer, responses={200: StandingSerializer})
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Changes what is given: nodes, share, what is kept, how the source is watched, limits of later versions."""
        asked = StandingChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        changes = asked.validated_data
        return self._act(request, f"Changed {', '.join(sorted(changes))}", lambda found: acts.change(found, changes))

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "copies",
                OpenApiTypes.STR,
                enum=list(COPIES),
                required=True,
                description="keep: versions and links stay on the nodes; purge: they are removed from all of them",
            )
        ],
        responses={204: None},
    )
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ends it, and says what becomes of the copies. Purging them needs the permission to purge jobs as well."""
        copies = request.query_params.get("copies", "")
        if copies not in COPIES:
            raise ValidationError({"copies": ["say what becomes of the copies on the nodes: keep or purge"]})
        if copies == "purge" and not request.user.has_perm(PURGE):
            self.permission_denied(request, message=f"this needs the permission {PURGE}")
        standing = self.get_object()
        note(request.user, standing, f"Deleted, copies: {copies}", where="by the API")
        acts.delete(standing, purge=copies == "purge")
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={200: StandingSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """No new version and no switch from now on. Nodes that join get what the others use."""
        return self._act(request, "Paused", lambda found: acts.pause(found, f"by {request.user}"))

    @extend_schema(request=None, responses={200: StandingSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Goes on after a pause, or after a rollback: then the newest version is used again."""
        return self._act(request, "Resumed", lambda found: acts.resume(found, f"by {request.user}"))

    @extend_schema(request=None, responses={200: StandingSerializer})
    @action(detail=True, methods=["post"], permission_classes=CHANGE)
    def check(self, request: Request, **kwargs: Any) -> Response:
        """Has the source looked at now."""
        return self._act(request, "Checked", acts.check)

    @extend_schema(request=RollbackSerializer, responses={200: StandingSerializer})
    @action(detail=True, methods=["post"], permission_classes=[needs("transfers.rollback_standing")])
    def rollback(self, request: Request, **kwargs: Any) -> Response:
        """Has nodes use an earlier version that they keep, at once. Newer ones are passed over until one starts after
        this, or until it is resumed."""
        asked = RollbackSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        number = asked.validated_data.get("version")
        return self._act(request, "Rolled back", lambda found: acts.rollback(found, number, f"by {request.user}"))

    def _act(self, request: Request, what: str, act: Callable[[Standing], object]) -> Response:
        standing = self.get_object()
        act(standing)
        note(request.user, standing, what, where="by the API")
        return Response(self._read(standing))

    def _read(self, standing: Standing) -> Any:
        return StandingSerializer(self.get_queryset().get(pk=standing.pk)).data


class PartsOfStanding(ListAPIView[Row], Generic[Row]):
    """Rows that point to the one of the address; who may see it may see them."""

    permission_classes = [needs("transfers.view_standing")]

    def standing(self) -> Standing:
        return get_object_or_404(Standing, name=self.kwargs["name"], cell=settings.FDIST_CELL)

    def get_queryset(self) -> QuerySet[Row]:
        rows: QuerySet[Row] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):  # the schema is made without an address
            return rows
        return self.rows(self.standing(), rows)

    def rows(self, standing: Standing, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(standing=standing)


class StandingVersions(PartsOfStanding[StandingVersion]):
    """The versions, newest first, with how many nodes have each and use it. Each is a job of its own."""

    queryset = StandingVersion.objects.all()
    serializer_class = StandingVersionSerializer
    filter_backends: list[Any] = []

    def rows(self, standing: Standing, rows: QuerySet[Any]) -> QuerySet[Any]:
        return versions_with_figures(standing).select_related("job", "standing")


class StandingNodes(PartsOfStanding[StandingNode]):
    """What the link of each node names, by its own word, and what is in the way of one that is behind."""

    queryset = StandingNode.objects.annotate(behind=Value(False))
    serializer_class = StandingNodeSerializer
    filterset_class = StandingNodeFilter
    ordering_fields = ["node__name", "changed_at"]
    ordering = ["node__name"]

    def rows(self, standing: Standing, rows: QuerySet[Any]) -> QuerySet[Any]:
        return nodes_of(standing)


class StandingEvents(PartsOfStanding[StandingEvent]):
    """What happened, oldest first; ask again with `after`, the last id that you saw."""

    queryset = StandingEvent.objects.all()
    serializer_class = StandingEventSerializer
    filterset_class = StandingEventFilter
    filter_backends = [DjangoFilterBackend]
    pagination_class = EventPages
