"""The schema says what the API does."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

OPEN = ("/api/v1/health/", "/api/v1/ready/")
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def schema() -> Any:
    out = io.StringIO()
    call_command(
        "spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", "--api-version", "v1", stdout=out
    )
    return json.loads(out.getvalue())


def test_every_operation_names_the_problems_that_it_may_answer_with(schema: Any) -> None:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            if path in OPEN:  # to all, and throttled for nobody
                assert answers.keys() - {"200", "503"} == {"406"}
                continue
            assert {"401", "403", "429", "503"} <= answers.keys(), (method, path)
            for code, answer in answers.items():
                if code >= "400":
                    content = answer["content"]["application/problem+json"]["schema"]
                    assert content == {"$ref": "#/components/schemas/Problem"}, (method, path, code)


def test_what_people_do_is_in_the_schema(schema: Any) -> None:
    posts = {path for path, operations in schema["paths"].items() if "post" in operations}
    for act in ("cancel", "pause", "resume", "retry", "verify", "purge"):
        assert f"/api/v1/jobs/{{id}}/{act}/" in posts
        assert "409" in schema["paths"][f"/api/v1/jobs/{{id}}/{act}/"]["post"]["responses"]
    create = schema["paths"]["/api/v1/jobs/"]["post"]
    assert "422" in create["responses"]
    assert "Idempotency-Key" in [parameter["name"] for parameter in create["parameters"]]


def test_a_list_and_whatever_else_is_narrowed_by_a_query_may_find_it_wrong(schema: Any) -> None:
    plain = {"page", "page_size", "cursor", "ordering", "format", "lang"}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            asked = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
            assert not asked - plain or "400" in operation["responses"], (method, path)


def test_an_answer_with_a_problem_has_the_form_that_the_schema_says(schema: Any, api: APIClient) -> None:
    problem = schema["components"]["schemas"]["Problem"]
    for answer in (
        api.get("/api/v1/jobs/?state=wrong"),
        api.get("/api/v1/jobs/none/"),
        api.get("/api/v1/nothing/here/"),
        api.get("/api/v2/jobs/"),
        APIClient().get("/api/v1/jobs/"),
    ):
        assert answer["Content-Type"] == "application/problem+json"
        assert set(answer.json()) == set(problem["properties"])
        assert answer.json()["status"] == answer.status_code
