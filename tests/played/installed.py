"""What an installation of ours has, by names: read from Terraform's plan and from the start-up scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[2] / "terraform" / "scripts"
GOOGLES_UNITS = {"google-startup-scripts"}  # of the guest agent in each image; leave.sh and update.sh name it, too


@dataclass(frozen=True)
class Group:
    """where: its zone or region, as `zone=us-central1-b`. base: with which its instances' names begin."""

    name: str
    where: str
    base: str


@dataclass(frozen=True)
class Installed:
    """outputs: as `terraform output -json` has them. protected: what Terraform would not destroy."""

    project: str
    groups: Mapping[str, Group]
    secrets: frozenset[str]
    databases: frozenset[str]
    buckets: frozenset[str]
    outputs: Mapping[str, Any]
    protected: tuple[str, ...]


def installed(project: str, plan: Mapping[str, Any]) -> Installed:
    """What a plan as JSON makes, of what commands name."""
    made = [each for each in plan["resource_changes"] if each["change"]["actions"] == ["create"]]

    def all_of(*kinds: str) -> list[dict[str, Any]]:
        return [each["change"]["after"] for each in made if each["type"] in kinds]

    groups = [
        Group(each["name"], f"zone={each['zone']}" if "zone" in each else f"region={each['region']}", base)
        for each in all_of("google_compute_instance_group_manager", "google_compute_region_instance_group_manager")
        for base in [each["base_instance_name"]]
    ]
    guards = ("deletion_protection", "deletion_protection_enabled")
    return Installed(
        project=project,
        groups={group.name: group for group in groups},
        secrets=frozenset(each["secret_id"] for each in all_of("google_secret_manager_secret")),
        databases=frozenset(each["name"] for each in all_of("google_sql_database_instance")),
        buckets=frozenset(each["name"] for each in all_of("google_storage_bucket")),
        outputs=plan["planned_values"]["outputs"],
        protected=tuple(
            each["address"] for each in made if any(each["change"]["after"].get(guard) is True for guard in guards)
        ),
    )


@cache
def units() -> frozenset[str]:
    """The systemd units that our start-up scripts start, each of which the package has as a file."""
    started = {
        name
        for script in SCRIPTS.glob("*.sh")
        for line in re.findall(r"^\s*start_services (.+)$", script.read_text(), re.MULTILINE)
        for name in line.split()
    }
    files = {path.stem for path in (SCRIPTS / "units").glob("*.service")}
    assert started and started <= files, f"no file of the units {started - files}"
    return frozenset(started | GOOGLES_UNITS)
