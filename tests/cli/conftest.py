"""A site that really answers, with a real scheduler and bucket behind it, and the command line that talks to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from knox.models import AuthToken

from fdist_site.cli.main import main
from tests.site_fixtures import admin, fleet, links, payload, quick_passwords, viewer
from transfers.client import Fdist
from transfers.links import Links

__all__ = ["admin", "fleet", "links", "payload", "quick_passwords", "viewer"]


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Ran]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of ours is set, and the configuration is below a directory of its own, which is given."""
    for name in ("FDIST_URL", "FDIST_TOKEN", "FDIST_CONFIG", "FDIST_NODE_NAME", "FDIST_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def run(environment: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `fdist` with these arguments, in this process."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def token(admin: AbstractUser, live_server: Any, links: Links) -> str:
    cache.clear()  # of the requests that were counted for throttling
    _, token = AuthToken.objects.create(admin)
    return str(token)


@pytest.fixture
def logged_in(environment: Path, token: str, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FDIST_URL", live_server.url)
    monkeypatch.setenv("FDIST_TOKEN", token)


@pytest.fixture
def client(token: str, live_server: Any) -> Iterator[Fdist]:
    with Fdist(live_server.url, token, patience=60) as client:
        yield client
