"""History is kept as long as the settings say, and is deleted a few rows at a time; jobs stay."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from transfers.coordinator import pruner
from transfers.coordinator.pruner import BETWEEN_SECONDS, REST_SECONDS, Pruner, kept_by_settings
from transfers.links import Links
from transfers.models import Job, JobEvent, Transfer
from transfers.retention import Keep, excess
from transfers.synthetic import Sizes, fill

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def history() -> None:
    """Four jobs, three hours apart, with some 200 transfers in all."""
    fill("main", Sizes(nodes=6, jobs=4, transfers=200), seed=3, now=NOW)


def pruning(keep: Keep, now: datetime = NOW) -> Pruner:
    return Pruner(Links("redis://127.0.0.1:1", "redis://127.0.0.1:1", "main"), keep, now=lambda: now)


def test_rows_that_are_too_old_go_and_their_job_keeps_its_sums(history: None) -> None:
    sums = list(Job.objects.values_list("id", "bytes_from_gcs", "bytes_from_peers", "state"))
    before = NOW - timedelta(hours=4)
    young, young_events = Transfer.objects.filter(ended_at__gte=before), JobEvent.objects.filter(at__gte=before)
    kept, kept_events = young.count(), young_events.count()
    assert 0 < kept < Transfer.objects.count()
    assert pruning(Keep(timedelta(hours=4), None)).step() == REST_SECONDS
    assert Transfer.objects.count() == young.count() == kept
    assert JobEvent.objects.count() == young_events.count() == kept_events
    assert list(Job.objects.values_list("id", "bytes_from_gcs", "bytes_from_peers", "state")) == sums


def test_of_too_many_rows_the_newest_are_kept(history: None) -> None:
    newest = list(Transfer.objects.order_by("-id").values_list("id", flat=True)[:50])
    pruning(Keep(None, 50)).step()
    assert list(Transfer.objects.order_by("-id").values_list("id", flat=True)) == newest
    assert JobEvent.objects.count() <= 50


def test_a_gap_in_the_ids_is_not_taken_for_rows(history: None) -> None:
    """A job that was deleted leaves one."""
    ids = list(Transfer.objects.order_by("id").values_list("id", flat=True))
    Transfer.objects.filter(id__in=ids[10:-10]).delete()
    assert ids[-1] - ids[0] > 20
    assert excess(Transfer, 20) == 0
    assert excess(Transfer, 19) == ids[0]


def test_a_step_deletes_a_batch_and_asks_to_be_called_again_soon(
    history: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "BATCH", 30)
    part, before = pruning(Keep(timedelta(0, 1), None), now=NOW + timedelta(days=1)), Transfer.objects.count()
    with CaptureQueriesContext(connection) as caught:
        assert part.step() == BETWEEN_SECONDS
    assert Transfer.objects.count() == before - 30
    assert len(caught) <= 8, "one look and one delete for each table, however many rows there are"
    while part.step() == BETWEEN_SECONDS:
        pass
    assert not Transfer.objects.exists() and not JobEvent.objects.exists()
    assert Job.objects.count() == 4


def test_zero_in_a_setting_keeps_all(history: None, settings: Any) -> None:
    settings.FDIST_HISTORY_DAYS, settings.FDIST_HISTORY_ROWS = 0, 0
    assert kept_by_settings() == Keep(None, None)
    before = Transfer.objects.count()
    assert pruning(kept_by_settings(), now=NOW + timedelta(days=10_000)).step() == REST_SECONDS
    assert Transfer.objects.count() == before


def test_days_and_rows_of_the_settings_are_what_the_coordinator_prunes_by(settings: Any) -> None:
    settings.FDIST_HISTORY_DAYS, settings.FDIST_HISTORY_ROWS = 7, 1000
    assert kept_by_settings() == Keep(timedelta(days=7), 1000)
