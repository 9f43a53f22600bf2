"""What `manage.py check --deploy` looks at: settings that are right for a try and wrong where others reach the site.

Each finding begins with the variable that it is about.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from fdist_site.known_variables import misspelt

LONG_ENOUGH = 50
FEWEST_CHARACTERS = 5
LOOPBACK = {"localhost", "127.0.0.1", "[::1]", "::1"}


@register(Tags.security, deploy=True)
def check_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [*_site(), *_secrets(), *_redis(), *_record(), *_unread()]


def _site() -> Iterator[CheckMessage]:
    names = set(settings.ALLOWED_HOSTS)
    if settings.DEBUG:
        yield Error("FDIST_DEBUG: is on: its pages show the code and the settings to everybody.", id="fdist.E001")
    if not names or "*" in names:
        yield Warning("FDIST_ALLOWED_HOSTS: has to name the hosts that the site is asked by.", id="fdist.W002")
    # Names of this machine alone mean that people come through a tunnel, which is encrypted itself.
    if not settings.HTTPS and not names <= LOOPBACK:
        yield Warning(
            "FDIST_HTTPS: is off: passwords and tokens cross the network in plain text.",
            hint="Serve the site behind TLS and set FDIST_HTTPS=true and FDIST_CSRF_TRUSTED_ORIGINS.",
            id="fdist.W003",
        )
    if settings.HTTPS and not settings.CSRF_TRUSTED_ORIGINS:
        yield Warning(
            "FDIST_CSRF_TRUSTED_ORIGINS: is empty: forms are refused behind a proxy that ends TLS.", id="fdist.W004"
        )


def _secrets() -> Iterator[CheckMessage]:
    for variable, value in (
        ("FDIST_SECRET_KEY", settings.SECRET_KEY),
        ("FDIST_SIGNING_KEY", settings.FDIST_SIGNING_KEY),
    ):
        if len(value) < LONG_ENOUGH or len(set(value)) < FEWEST_CHARACTERS:
            yield Warning(
                f"{variable}: has {len(value)} characters, {len(set(value))} of them different; "
                f"at least {LONG_ENOUGH} random ones are wanted.",
                hint="openssl rand -base64 48 makes one.",
                id="fdist.W005",
            )
    if settings.TEST_FLEET:
        yield Warning("FDIST_TEST_FLEET: is on: people may order nodes to be broken.", id="fdist.W006")


def _redis() -> Iterator[CheckMessage]:
    for variable, address in (("REDIS_URL", settings.REDIS_URL), ("FDIST_BROKER_URL", settings.FDIST_BROKER_URL)):
        parts = urlsplit(address)
        if parts.scheme in {"unix", "redis+socket"} or parts.hostname in LOOPBACK:
            continue
        if parts.scheme != "rediss":
            yield Warning(f"{variable}: is without TLS; rediss:// has it.", id="fdist.W007")
        if "ssl_cert_reqs=none" in parts.query.lower():
            yield Warning(
                f"{variable}: takes any certificate; ssl_cert_reqs=required asks for the server's.", id="fdist.W008"
            )
        if settings.FDIST_REDIS_LOGIN == "url" and not parts.password:
            yield Warning(f"{variable}: has no password; docs/security.md says how users are made.", id="fdist.W009")


def _record() -> Iterator[CheckMessage]:
    if settings.FDIST_WEBHOOK_HTTP:
        yield Warning("FDIST_WEBHOOK_HTTP: is on: what is told to webhooks can be read on the way.", id="fdist.W010")


def _unread() -> Iterator[CheckMessage]:
    for said in misspelt(os.environ):
        yield Warning(said, id="fdist.W011")
