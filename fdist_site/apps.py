"""The site as a Django app: its commands, its templates' tags, its checks."""

from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "fdist_site"

    def ready(self) -> None:
        from fdist_site import checks  # noqa: F401  (registers them)
