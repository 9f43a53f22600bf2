"""manage.py set_up: the record of an installation, prepared in one step that can be repeated."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from nodes.models import EnrolmentKey, digest_of

PASSWORD = "correct-horse-battery"


@pytest.fixture
def set_up(db: None, quick_passwords: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command with something on its standard input; gives what it prints."""
    settings.STATIC_ROOT = tmp_path

    def run(given: str, **options: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        printed = io.StringIO()
        call_command("set_up", stdout=printed, **options)
        return printed.getvalue()

    return run


def test_a_user_and_a_key_are_made_and_stay_when_it_is_run_again(set_up: Any, tmp_path: Path) -> None:
    key = set_up(json.dumps({"password": PASSWORD}))
    assert EnrolmentKey.objects.get().digest == digest_of(key)
    assert set_up(json.dumps({"password": "another-password-1", "enrolment_key": key})) == ""
    assert [each.name for each in EnrolmentKey.objects.all()] == ["workers"]
    user = get_user_model().objects.get()
    assert user.is_superuser and user.check_password(PASSWORD)
    assert (tmp_path / "staticfiles.json").exists() or any(tmp_path.iterdir())


def test_a_key_of_another_record_is_taken_over_beside_one_that_was_revoked(set_up: Any) -> None:
    EnrolmentKey.adopt("workers", "fdk_an-old-key-that-was-revoked").revoke()
    assert set_up(json.dumps({"password": PASSWORD, "enrolment_key": "fdk_a-key-made-elsewhere"})) == ""
    assert set(EnrolmentKey.objects.valid().values_list("name", flat=True)) == {"workers-2"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no json", "is no JSON"),
        ("[]", "wants an object with texts named enrolment_key and password"),
        ('{"pass": "x"}', "wants an object with texts named enrolment_key and password"),
        ('{"password": 5}', "wants an object with texts named enrolment_key and password"),
        ("{}", "password: is needed"),
    ],
)
def test_what_it_cannot_use_is_refused(set_up: Any, given: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        set_up(given)
    assert not EnrolmentKey.objects.exists()
