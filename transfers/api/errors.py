"""Our own errors as answers: what to change (400, with the field), what has ended (409), what to try later (503)."""

from __future__ import annotations

import redis
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response

from transfers.errors import InvalidTransition, PlanError, SourceBusy


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"


class FdistExceptionHandler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        match exc:
            case PlanError():
                return ValidationError({exc.field: [exc.message]}, code="invalid")
            case InvalidTransition():
                return Conflict(str(exc))
            case SourceBusy():
                return Unavailable(str(exc))
            case redis.RedisError():
                return Unavailable("the scheduler cannot be reached; try again later")
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: APIException, response: Response) -> None:
        """An outage elsewhere is no fault of the program: it is logged by who met it, and not reported as one."""
        if not isinstance(exc, Unavailable):
            super().report_exception(exc, response)
