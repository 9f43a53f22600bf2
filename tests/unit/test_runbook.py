"""Whoever is woken by an alert is led to what it means and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"


def alerts() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((DOCS / "grafana/alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", (DOCS / "runbook.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_has_its_section_and_leads_there(alert: dict[str, Any]) -> None:
    section = sections()[alert["alert"]]
    for part in ("**Means.**", "**Look.**", "**Do.**"):
        assert part in section
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"


def test_no_section_is_of_an_alert_that_is_gone() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert [name for name in sections() if name.startswith("Fdist") and name not in names] == []
