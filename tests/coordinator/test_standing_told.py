"""What webhooks and Prometheus are told of standing distributions."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.coordinator.standing_stage import Stage
from transfers.metrics.standing import figures
from transfers.models import Standing, Webhook
from transfers.standing import acts
from transfers.webhooks import outbox

pytestmark = pytest.mark.django_db


def test_webhooks_are_told_when_nodes_use_a_version(running: Stage) -> None:
    hook = Webhook.objects.create(
        name="restart", url="https://example.org/", kinds=["switched"], created_at=timezone.now() - timedelta(hours=1)
    )
    outbox.fill(running.links.cell)
    outbox.fill(running.links.cell)
    running.newer()
    running.rounds(1)
    outbox.fill(running.links.cell)
    assert hook.deliveries.count() == 1  # they are to use it, and do not yet
    running.rounds(3)
    outbox.fill(running.links.cell)
    acts.rollback(running.standing())
    running.rounds(3)
    outbox.fill(running.links.cell)
    told = [json.loads(row.body) for row in hook.deliveries.order_by("created_at")]
    assert [(each["event"], each["standing"]["version"]) for each in told] == [("switched", n) for n in (1, 2, 1)]
    assert told[1]["standing"] == {"name": running.prefix, "version": 2, "current_version": 2}
    assert told[1]["job"]["destination"] == f"{running.prefix}/versions/2"


def test_prometheus_is_told_who_is_behind(running: Stage) -> None:
    def value(name: str, **labels: str) -> float | None:
        found = {family.name: family for family in figures(running.links)}[name]
        wanted = {"standing": running.prefix, **labels}
        return next((sample.value for sample in found.samples if sample.labels == wanted), None)

    assert (value("fdist_standing_nodes", use="current"), value("fdist_standing_nodes", use="behind")) == (2, 0)
    running.nodes("gpu-03")
    running.coordinate()
    running.coordinate()
    assert value("fdist_standing_nodes", use="behind") == 1
    running.newer()
    running.coordinate()
    assert (value("fdist_standing_version", which="current"), value("fdist_standing_version", which="newest")) == (1, 2)
    assert (value("fdist_standing_failed"), value("fdist_standing_trouble")) == (0, 0)
    running.links.scheduler.fail_job(running.job(2), "gone")
    running.coordinate()
    assert value("fdist_standing_failed") == 1
    Standing.objects.update(check_at=timezone.now() - timedelta(minutes=20), trouble="no marker")
    assert (value("fdist_standing_check_overdue_seconds") or 0) >= 1200 and value("fdist_standing_trouble") == 1
    Standing.objects.update(paused=True)
    assert value("fdist_standing_check_overdue_seconds") is None
