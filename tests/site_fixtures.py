"""Fixtures of the tests that need the whole coordinator: settings that point at the run's servers, users, a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from knox.models import AuthToken
from rest_framework.test import APIClient

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.redis_server import RedisServer
from nodes.models import EnrolmentKey
from transfers import recorder
from transfers.links import Links, get_links
from transfers.scheduler.types import Assignment, NodeInfo, Report

KEY = "fdk_a-key-for-tests-that-is-long-enough"
TERABYTE = 10**12


def fold(links: Links) -> None:
    """Let the recorder fold all that the scheduler told of so far into the record."""
    while events := links.scheduler.events(recorder.position(links.cell)):
        recorder.fold(links.cell, recorder.position(links.cell), events)


class Fleet:
    """Nodes as the scheduler sees them: they register, ask, report and finish, and move no bytes."""

    def __init__(self, links: Links) -> None:
        self.scheduler = links.scheduler
        self.epochs: dict[str, int] = {}
        self.held: dict[tuple[str, str], dict[int, int]] = {}

    def add(self, *names: str, labels: dict[str, str] | None = None, disk_free: int = TERABYTE) -> Fleet:
        for name in names:
            info = NodeInfo(
                name=name,
                address="127.0.0.1:1",
                ticket_key="ab" * 16,
                labels=labels or {},
                disk_total=TERABYTE,
                disk_free=disk_free,
            )
            self.epochs[name] = self.scheduler.register(info, KEY).epoch
        return self

    def announce(self, job: str) -> None:
        for name, epoch in self.epochs.items():
            self.scheduler.announce(job, name, epoch, self.held.get((job, name), {}))

    def move(self, job: str, turns: int = 1000) -> int:
        """Lets every node take turns until nobody gets anything; gives the number of transfers done."""
        moved = 0
        for _ in range(turns):
            done = sum(self._turn(job, name) for name in self.epochs)
            moved += done
            if not done:
                break
        return moved

    def _turn(self, job: str, name: str) -> int:
        epoch = self.epochs[name]
        reply = self.scheduler.next(name, epoch, [], want=2)
        work: list[Assignment] = [*reply.assignments, *self.scheduler.unpark(name, epoch)]
        if not work:
            return 0
        reports = [Report(a.lease, "ok", crc32c=crc_of(a.shard), bytes=1000, ms=10) for a in work]
        answer = self.scheduler.next(name, epoch, reports, want=0)
        held = self.held.setdefault((job, name), {})
        held.update({a.shard: crc_of(a.shard) for a in work if a.lease not in answer.rejected})
        if job in answer.finished or job in reply.finished:
            self.scheduler.finish(job, name, epoch)
        return len(work)


def crc_of(shard: int) -> int:
    return shard * 7 + 1


@pytest.fixture
def links(
    redis: redis_py.Redis, redis_server: RedisServer, gcs: GcsServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Links:
    """The site's own links, to the run's servers, with the cell's data emptied."""
    settings.REDIS_URL = redis_server.url
    settings.FDIST_BROKER_URL = redis_server.broker_url
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.endpoint)
    found = get_links()
    found.redis.ping()
    return found


@pytest.fixture
def fleet(links: Links, db: None) -> Fleet:
    """No nodes yet; their enrolment key is valid, in the record and in the scheduler."""
    EnrolmentKey.adopt("tests", KEY)
    links.scheduler.set_enrolment_keys(list(EnrolmentKey.objects.valid().values_list("digest", flat=True)))
    return Fleet(links)


@pytest.fixture(scope="session")
def payload(gcs: GcsServer) -> str:
    """A prefix with two files, 3 MiB and 100 bytes."""
    gcs.bucket("weights")
    gcs.put("weights", "llama/model.bin", bytes(range(256)) * 4096 * 3)
    gcs.put("weights", "llama/config.json", b"{}" * 50)
    return "gs://weights/llama/"


@pytest.fixture
def quick_passwords(settings: Any) -> None:
    """Hashing a password well takes a third of a second, on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def admin(db: None, quick_passwords: None) -> AbstractUser:
    user: AbstractUser = get_user_model().objects.create_superuser("ada", "ada@example.org", "correct-horse-battery")
    return user


@pytest.fixture
def viewer(db: None, quick_passwords: None) -> AbstractUser:
    """May log in and has no permission."""
    user: AbstractUser = get_user_model().objects.create_user("vic", "vic@example.org", "correct-horse-battery")
    return user


def client_of(user: AbstractUser) -> APIClient:
    _, token = AuthToken.objects.create(user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.fixture
def api(admin: AbstractUser) -> Iterator[APIClient]:
    cache.clear()  # of the requests that were counted for throttling
    yield client_of(admin)
