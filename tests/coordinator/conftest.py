"""The coordinator's fixtures; see tests/site_fixtures.py."""

from tests.coordinator.standing_stage import running, stage
from tests.site_fixtures import admin, api, fleet, links, payload, quick_passwords, viewer

__all__ = ["admin", "api", "fleet", "links", "payload", "quick_passwords", "running", "stage", "viewer"]
