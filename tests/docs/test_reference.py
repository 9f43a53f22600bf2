"""The pages of docs/reference say what the code says."""

from __future__ import annotations

import pytest

from tests.docs import reference


@pytest.mark.parametrize("name", reference.MADE)
def test_a_page_that_is_made_from_the_code_is_what_the_code_says(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == reference.MADE[name](), (
        "run `make reference` and look at the change"
    )


def test_every_command_option_and_metric_is_there() -> None:
    assert "## fdist nodes drain NAME" in reference.fdist()
    assert "`--on-this-node`" in reference.fdist()
    assert "`--advertise VALUE`" in reference.manage()
    assert "| `fdist_jobs` | gauge | `state` |" in reference.metrics()
    assert "| `fdist_transfers_total` | counter | `source`, `outcome` |" in reference.metrics()
    assert "/api/v1/jobs/{id}/cancel/" in reference.openapi()
    assert "| `quorum` | number |" in reference.api()
    assert "| events | stream |" in reference.redis()
