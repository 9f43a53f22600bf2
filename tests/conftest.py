"""The real servers that tests share: one Valkey and one bucket emulator a test run, on free ports, gone with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from django.apps import apps
from django.core import serializers
from django.db.models.signals import post_migrate
from hypothesis import HealthCheck, settings

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import ProcessGroup
from fdist_site.local.redis_server import RedisServer

# A shell has what it starts in the background ignore Ctrl-C, and with it all that this then starts, so that the tests
# which interrupt a program would wait for its end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No time limits: the machine may be busy with something else.
settings.register_profile("fdist", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fdist")


@pytest.fixture(scope="session")
def local_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessGroup]:
    """Children of this test run; they die with it."""
    with ProcessGroup(tmp_path_factory.mktemp("processes")) as group:
        yield group


@pytest.fixture(scope="session")
def redis_server(local_processes: ProcessGroup, tmp_path_factory: pytest.TempPathFactory) -> RedisServer:
    """One real server for the whole run: `.url` (database 0), `.broker_url` (database 1), `.client()`."""
    return RedisServer(local_processes, tmp_path_factory.mktemp("redis")).start()


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[redis_py.Redis]:
    """A client of the run's server, with every database emptied."""
    client = redis_server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def gcs(local_processes: ProcessGroup, tmp_path_factory: pytest.TempPathFactory) -> GcsServer:
    """One real bucket emulator for the whole run: `.endpoint`, `.bucket(name)`, `.put(bucket, name, data)`."""
    return GcsServer(local_processes, tmp_path_factory.mktemp("gcs")).start()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Brings back the groups, which migrations make, after a test with transactions of its own: it empties tables."""
    from django.contrib.auth.models import Group

    with django_db_blocker.unblock():
        groups = serializers.serialize(
            "json", Group.objects.all(), use_natural_foreign_keys=True, use_natural_primary_keys=True
        )
    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1]

    def restore(**_: Any) -> None:  # by now every app has its permissions again
        for group in serializers.deserialize("json", groups):
            group.save()

    post_migrate.connect(restore, sender=last, weak=False)
    yield
    post_migrate.disconnect(restore, sender=last)
