"""The API against its own schema: whatever is asked, no answer is a fault, and none is one that the schema lacks."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans
from knox.models import AuthToken
from rest_framework.throttling import ScopedRateThrottle, UserRateThrottle
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from nodes.models import EnrolmentKey
from tests.site_fixtures import Fleet, fold
from transfers import submission
from transfers.links import Links
from transfers.live import feed
from transfers.models import Webhook
from transfers.standing import acts

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]
EXAMPLES = 40 if connection.vendor == "sqlite" else 15  # of each operation: elsewhere it is the second time
# A budget or a source of the right form may still be impossible here, and `after` may be given twice: planning says so.
UNCHECKED = [positive_data_acceptance]


@pytest.fixture
def own_schema(
    fleet: Fleet,
    links: Links,
    payload: str,
    admin: AbstractUser,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The schema of this app, headers that log in, and what its addresses may name: rows of every kind are there."""
    for ends in (request_started, request_finished):  # a request's end would close the test's own connection
        monkeypatch.setattr(ends, "send", lambda *args, **kwargs: [])
    monkeypatch.setattr(feed, "STREAM_SECONDS", 0.0)  # a stream says that it is one, and ends
    for throttle in (UserRateThrottle, ScopedRateThrottle):
        monkeypatch.setattr(throttle, "THROTTLE_RATES", {"user": None, "submit": None, "plan": None})
    cache.clear()
    fleet.add("gpu-01", "gpu-02")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex, turns=1)
    fold(links)
    hook = Webhook.objects.create(name="hook", url="https://example.org/")
    there = {
        "/jobs/": str(job.pk),
        "/webhooks/": hook.pk,
        "/enrolment-keys/": EnrolmentKey.objects.get().pk,
        "/standing/": "llama",
        "/nodes/": "gpu-01",
    }
    acts.create({"name": "llama", "source": payload}, admin, links)
    _, token = AuthToken.objects.create(admin)
    auth = {"Authorization": f"Token {token}"}
    config = SchemathesisConfig()
    config.projects.default.generation.update(max_examples=EXAMPLES, deterministic=True)
    schema = schemathesis.openapi.from_wsgi(
        "/api/v1/schema/?format=json", get_wsgi_application(), headers=auth, config=config
    )

    return schema, auth, there


def test_every_answer_is_in_the_schema(own_schema: Any) -> None:
    schema, auth, there = own_schema
    faults: list[str] = []
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 30
    for operation in operations:

        @given(case=operation.as_strategy(), real=booleans())
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def holds(case: Any, real: bool) -> None:
            for part, identity in there.items():
                for name in ("id", "name") if real and part in case.path else ():
                    if name in (case.path_parameters or {}):
                        case.path_parameters[name] = identity
            case.call_and_validate(headers=auth, excluded_checks=UNCHECKED)

        try:
            holds()
        except (Exception, FailureGroup) as fault:  # each operation is looked at, and all faults are shown
            faults.append(f"{operation.label}: {fault}")
    assert not faults, "\n\n".join(faults)
