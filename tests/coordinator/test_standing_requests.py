"""What standing distributions refuse, and why."""

from __future__ import annotations

import pytest

from tests.coordinator.standing_stage import Stage
from transfers import submission
from transfers.errors import InvalidTransition, PlanError
from transfers.standing import acts

pytestmark = pytest.mark.django_db


def test_no_job_comes_among_the_versions(running: Stage) -> None:
    for within in ("versions/9", "current", "versions"):
        with pytest.raises(PlanError, match="has its versions") as caught:
            submission.submit({"source": running.source, "destination": f"{running.prefix}/{within}"})
        assert caught.value.field == "destination"
    submission.submit({"source": running.source, "destination": f"{running.prefix}/beside"})


def test_a_version_in_use_is_not_purged_as_a_job(running: Stage) -> None:
    with pytest.raises(InvalidTransition, match="version 1, which nodes keep"):
        submission.purge(running.version(1).job, running.links)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "No Name"}, "name"),
        ({"source": "models/llama"}, "source"),
        ({"source": "gs://no-such-bucket/llama/"}, "source"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"versions_kept": 0}, "versions_kept"),
        ({"check_seconds": 0}, "check_seconds"),
        ({"settle_seconds": -1}, "settle_seconds"),
        ({"marker": "../x"}, "marker"),
        ({"destination": "../x"}, "destination"),
        ({"nodes": {"labels": {}}}, "nodes"),
        ({"topology": "star"}, "topology"),
        ({"bucket_budget": "much"}, "bucket_budget"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(stage: Stage, fields: dict[str, object], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        stage.create(**fields)
    assert caught.value.field == field


def test_names_and_places_are_taken_once(running: Stage) -> None:
    with pytest.raises(PlanError, match="already") as caught:
        running.create(destination="elsewhere")
    assert caught.value.field == "name"
    with pytest.raises(PlanError, match="folder of its own") as caught:
        running.create(name="another", destination=f"{running.prefix}/versions/3")
    assert caught.value.field == "destination"


def test_what_cannot_change_is_refused(running: Stage) -> None:
    with pytest.raises(PlanError, match="cannot be changed") as caught:
        acts.change(running.standing(), {"source": "gs://standing/other/"})
    assert caught.value.field == "source"
    acts.change(running.standing(), {"share": 0.5, "topology": "pipeline"})
    running.newer()
    running.coordinate()
    assert (running.version(2).job.topology, running.version(2).job.quorum) == ("pipeline", 0.5)
