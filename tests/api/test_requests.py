"""A request's id is in every line that is logged for it, and in its answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.site_fixtures import Fleet
from transfers.logs import LineFormatter

pytestmark = pytest.mark.django_db


class Lines(logging.Handler):
    """Formats when a line is logged, as a handler of the site does."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler.lines
    logging.getLogger().removeHandler(handler)


def test_a_job_that_is_submitted_is_followed_by_the_id_of_its_request(
    api: APIClient, fleet: Fleet, payload: str, lines: list[str]
) -> None:
    fleet.add("gpu-01")
    answer = api.post("/api/v1/jobs/", {"source": payload}, headers={"X-Request-ID": "deploy-17"})
    assert answer.status_code == 201
    assert answer["X-Request-ID"] == "deploy-17"
    job = answer.json()["id"].replace("-", "")
    of_request = [line for line in lines if line.endswith("request=deploy-17")]
    assert any("submitted" in line and f"job={job}" in line for line in of_request)
    assert any("answered method=POST path=/api/v1/jobs/ status=201" in line for line in of_request)


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a\tb"])
def test_an_id_that_would_not_fit_a_line_is_replaced(client: Client, given: str, lines: list[str]) -> None:
    answer = client.get("/login/", headers={"X-Request-ID": given})
    assert answer["X-Request-ID"] != given
    assert len(answer["X-Request-ID"]) == 32
    assert lines[-1].endswith(f"request={answer['X-Request-ID']}")


def test_what_programs_ask_again_and_again_is_not_logged(client: Client, lines: list[str]) -> None:
    client.get("/healthz")
    client.get("/metrics")
    assert not [line for line in lines if "answered" in line]
