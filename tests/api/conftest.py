"""The coordinator's fixtures; see tests/site_fixtures.py. And a standing distribution, made over REST."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.coordinator.standing_stage import BOTH, LABELS, Stage, stage
from tests.site_fixtures import admin, api, fleet, links, payload, quick_passwords, viewer

__all__ = ["admin", "api", "fleet", "links", "payload", "quick_passwords", "stage", "viewer"]
STANDING = "/api/v1/standing/"


def asked(stage: Stage, **fields: Any) -> dict[str, Any]:
    """The body of a request for one that takes its source as it is found."""
    watched = {"settle_seconds": 0, "check_seconds": 3600}
    return {"name": "llama", "source": stage.source, "nodes": {"labels": LABELS}, **watched, **fields}


@pytest.fixture
def llama(stage: Stage, api: APIClient) -> str:
    """Version 2 is in use on both nodes; gives its address."""
    stage.nodes(*BOTH)
    assert api.post(STANDING, asked(stage), format="json").status_code == 201
    stage.rounds()
    stage.put("two")
    api.post(f"{STANDING}llama/check/")
    stage.rounds(4)
    return f"{STANDING}llama/"
