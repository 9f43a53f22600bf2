"""One terraform with its provider for the run; what cannot be had here skips the tests that need it, saying why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.terraform.environment import Environment, Unavailable, make
from tests.terraform.terraform import LOCK, Terraform


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    try:
        ready = Terraform(tmp_path_factory.mktemp("terraform"))
    except Unavailable as reason:
        pytest.skip(str(reason))
    with ready:
        yield ready


@pytest.fixture(scope="session")
def checks() -> Environment:
    """The environment with shellcheck."""
    try:
        return make(LOCK)
    except Unavailable as reason:
        pytest.skip(str(reason))
