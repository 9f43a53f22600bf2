"""Errors as problem details (RFC 9457), each with the field that it is about.

{"type": "urn:fdist:invalid", "title": "The request cannot work as it is", "status": 400,
 "detail": "source: gs://weights/none does not exist",
 "errors": [{"field": "source", "code": "invalid", "detail": "gs://weights/none does not exist"}]}
"""

from __future__ import annotations

from typing import Any

import redis
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ErrorResponse
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response

from transfers.errors import InvalidTransition, PlanError, SourceBusy
from transfers.repeats import KeyReused

PROBLEM_JSON = "application/problem+json"
PROBLEMS = {
    400: ("invalid", "The request cannot work as it is"),
    401: ("not-authenticated", "The request has no valid token"),
    403: ("permission-denied", "The user may not do this"),
    404: ("not-found", "There is nothing at this address"),
    405: ("method-not-allowed", "This address has no such method"),
    406: ("not-acceptable", "The answer cannot be had in this form"),
    409: ("conflict", "The state that it is in does not allow this"),
    415: ("unsupported-media-type", "The body must be application/json"),
    422: ("key-reused", "The Idempotency-Key belongs to another request"),
    429: ("throttled", "There were too many requests"),
    500: ("error", "The program has a fault; it is in the log"),
    503: ("unavailable", "Something that this needs cannot be reached; try again later"),
}


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class WrongKey(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key-reused"


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"


class ProblemFormatter(ExceptionFormatter):
    def format_error_response(self, error_response: ErrorResponse) -> dict[str, Any]:
        errors = [
            {"field": error.attr, "code": error.code, "detail": str(error.detail)} for error in error_response.errors
        ]
        code, title = PROBLEMS.get(self.exc.status_code, PROBLEMS[500])
        first = errors[0] if errors else {"field": None, "detail": title}
        detail = f"{first['field']}: {first['detail']}" if first["field"] else first["detail"]
        return {
            "type": f"urn:fdist:{code}",
            "title": title,
            "status": self.exc.status_code,
            "detail": detail,
            "errors": errors,
        }


class FdistExceptionHandler(ExceptionHandler):
    """Our own errors: what to change (400, with the field), what has ended (409), what to try later (503)."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        match exc:
            case PlanError():
                return ValidationError({exc.field: [exc.message]}, code="invalid")
            case InvalidTransition():
                return Conflict(str(exc))
            case KeyReused():
                return WrongKey(str(exc))
            case SourceBusy():
                return Unavailable(str(exc))
            case redis.RedisError():
                return Unavailable("the scheduler cannot be reached; try again later")
        return super().convert_known_exceptions(exc)

    def get_response(self, exc: APIException, data: dict[str, Any]) -> Response:
        return Response(data, status=exc.status_code, headers=self.get_headers(exc), content_type=PROBLEM_JSON)

    def report_exception(self, exc: APIException, response: Response) -> None:
        """An outage elsewhere is no fault of the program: it is logged by who met it, and not reported as one."""
        if not isinstance(exc, Unavailable):
            super().report_exception(exc, response)
