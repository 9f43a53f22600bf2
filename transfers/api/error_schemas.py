"""The documented form of the errors that are ours: for the OpenAPI schema alone."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ConflictErrorSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=[("conflict", "conflict")])
    detail = serializers.CharField()
    attr = serializers.CharField(allow_null=True)


class ConflictResponseSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=[("client_error", "client_error")])
    errors: Any = ConflictErrorSerializer(many=True)


class UnavailableErrorSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=[("unavailable", "unavailable")])
    detail = serializers.CharField()
    attr = serializers.CharField(allow_null=True)


class UnavailableResponseSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=[("server_error", "server_error")])
    errors: Any = UnavailableErrorSerializer(many=True)
