"""The OpenAPI schema: every operation says which problems it may answer with."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiResponse
from rest_framework import serializers

from transfers.api.errors import PROBLEM_JSON, PROBLEMS

ALWAYS = (401, 403, 406, 429, 503)
WITH_BODY = (400, 415)


class FaultSerializer(serializers.Serializer[Any]):
    field: Any = serializers.CharField(allow_null=True, help_text="of the request, null when it is about no single one")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="urn:fdist: and what kind of problem it is")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="the first of the errors")
    errors: Any = FaultSerializer(many=True)


class FdistSchema(AutoSchema):
    """`problems` of a view, {method name: [status, ...]}, adds to what every operation may answer."""

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        found: dict[str, Any] = super()._get_response_bodies(direction)
        for code in sorted(self._problems()):
            answer = OpenApiResponse(ProblemSerializer, description=PROBLEMS[code][1])
            response_of: Any = self._get_response_for_code  # not typed
            found.setdefault(str(code), response_of(answer, str(code), [PROBLEM_JSON], direction))
        return found

    def _problems(self) -> set[int]:
        if getattr(self.view, "open_to_all", False):
            return {406}
        codes = set(ALWAYS)
        if self.method in ("POST", "PATCH"):
            codes.update(WITH_BODY)
        elif self._is_list_view() or self.get_filter_backends():
            codes.add(400)
        if "{" in self.path or self._is_list_view():  # a page that does not exist
            codes.add(404)
        action = getattr(self.view, "action", None) or self.method.lower()
        codes.update(getattr(self.view, "problems", {}).get(action, ()))
        return codes
