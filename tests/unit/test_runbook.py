"""Whoever is woken by an alert is led to what it means and what to do."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PLACEHOLDER = "https://docs.example.org/fdist/runbook.html"  # where nobody's documents are
DOCS = Path(__file__).resolve().parents[2] / "docs"


def alerts() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((DOCS / "grafana/alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", (DOCS / "runbook.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("alert", list(alerts()), ids=lambda alert: alert["alert"])
def test_an_alert_has_its_section_and_leads_there(alert: dict[str, Any]) -> None:
    section = sections()[alert["alert"]]
    for part in ("**Means.**", "**Look.**", "**Do.**"):
        assert part in section
    assert alert["annotations"]["runbook_url"] == f"{PLACEHOLDER}#{alert['alert'].lower()}"


def made(runbook: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", "alerts", f"RUNBOOK={runbook}"], cwd=DOCS.parent, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "runbook",
    ["https://docs.acme.example/fdist/runbook.html", "https://git.acme.example/fdist/src/main/docs/runbook.md?a=1&b=2"],
)
def test_the_rules_are_made_with_the_address_at_which_people_read_the_runbook(runbook: str) -> None:
    done = made(runbook)
    assert done.returncode == 0, done.stderr
    rules = [rule for group in yaml.safe_load(done.stdout)["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == [rule["alert"] for rule in alerts()]
    for rule, ours in zip(rules, alerts(), strict=True):
        assert rule["annotations"].pop("runbook_url") == f"{runbook}#{rule['alert'].lower()}"
        del ours["annotations"]["runbook_url"]
        assert rule == ours
    assert PLACEHOLDER not in done.stdout


@pytest.mark.parametrize(
    "runbook", ["", "docs/runbook.md", "https://docs.acme.example/run book", 'https://a"b', "ftp://a"]
)
def test_what_is_no_address_is_refused_by_name(runbook: str) -> None:
    done = made(runbook)
    assert done.returncode != 0 and done.stdout == ""
    assert "RUNBOOK" in done.stderr and "https://" in done.stderr


def test_no_section_is_of_an_alert_that_is_gone() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert [name for name in sections() if name.startswith("Fdist") and name not in names] == []
