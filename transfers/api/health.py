"""Health and readiness over REST, beside /healthz and /readyz: open to all, and throttled for nobody."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transfers import readiness

PART = ["ok", "unreachable"]


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok"])


class ReadinessSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok", "unavailable"])
    database = serializers.ChoiceField(choices=PART)
    redis = serializers.ChoiceField(choices=PART)


class Open(APIView):
    open_to_all = True
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []


class Health(Open):
    @extend_schema(responses={200: HealthSerializer})
    def get(self, request: Request, **kwargs: Any) -> Response:
        """This process answers."""
        return Response({"status": "ok"})


class Readiness(Open):
    @extend_schema(responses={200: ReadinessSerializer, 503: ReadinessSerializer})
    def get(self, request: Request, **kwargs: Any) -> Response:
        """The database and Redis answer as well; 503 when one does not."""
        report, good = readiness.report()
        return Response(report, status=status.HTTP_200_OK if good else status.HTTP_503_SERVICE_UNAVAILABLE)
