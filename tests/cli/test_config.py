"""Where the command line finds the coordinator, and how it keeps a token."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fdist_site.cli.config import DEFAULT_URL, BadConfig, Config, config_path, load, save
from tests.cli.conftest import Run


def test_the_command_line_wins_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load(environment=environment) == Config(DEFAULT_URL, "")
    save(Config("https://kept", "secret"), environment)
    assert load(environment=environment) == Config("https://kept", "secret")
    assert load("https://kept/", environment) == Config("https://kept", "secret")
    assert load(environment=environment | {"FDIST_TOKEN": "other"}) == Config("https://kept", "other")


def test_a_kept_token_goes_to_no_other_address(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    save(Config("https://kept", "secret"), environment)
    assert load("https://elsewhere", environment).token == ""
    assert load(environment=environment | {"FDIST_URL": "https://elsewhere"}).token == ""


def test_the_file_is_for_its_owner_alone_and_refused_when_it_is_not(tmp_path: Path) -> None:
    environment = {"FDIST_CONFIG": str(tmp_path / "own.toml")}
    path = save(Config("https://kept", 'a"b\\c'), environment)
    assert path == config_path(environment)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(environment=environment).token == 'a"b\\c'
    path.chmod(0o644)
    with pytest.raises(BadConfig, match="chmod 600"):
        load(environment=environment)


@pytest.mark.parametrize(("text", "said"), [("url = ", "no TOML"), ('tokn = "x"', '"tokn" is not known')])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(BadConfig, match=said):
        load(environment={"FDIST_CONFIG": str(path)})


@pytest.mark.django_db(transaction=True)
def test_login_tries_the_token_and_keeps_it(
    run: Run, token: str, live_server: Any, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    refused = run("login", "--url", live_server.url, "--token-stdin")
    assert (refused.code, "fdist login" in refused.err) == (4, True)
    assert not config_path().exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{token}\n"))
    assert run("login", "--url", live_server.url, "--token-stdin").code == 0
    assert run("jobs", "--json").json == []
    assert run("logout").code == 0
    monkeypatch.setattr("fdist_site.cli.context.PATIENCE", 0.0)
    assert run("jobs").code in (4, 7)  # the default address, where nobody or somebody else answers


def test_nobody_at_the_address_is_said_with_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fdist_site.cli.context.PATIENCE", 0.0)
    ran = run("--url", "http://127.0.0.1:9", "jobs")
    assert ran.code == 7
    assert "http://127.0.0.1:9 cannot be reached: connection refused" in ran.err
    assert "manage.py web" in ran.err
    assert run("--url", "127.0.0.1:9", "jobs").code == 2


def test_the_console_script_is_there_and_completes(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "fdist"
    if not script.exists():
        pytest.skip("the project is not installed in this environment: make setup")
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    source = subprocess.run([script, "completion", "bash"], capture_output=True, text=True, check=True, env=plain)
    assert "_FDIST_COMPLETE=bash_complete" in source.stdout
    asked = plain | {"_FDIST_COMPLETE": "bash_complete", "COMP_WORDS": "fdist pu", "COMP_CWORD": "1"}
    found = subprocess.run([script], capture_output=True, text=True, check=False, env=asked)
    assert found.stdout.split() == ["plain,purge", "plain,push"]


def test_help_and_completion_load_no_library_that_they_do_not_need() -> None:
    code = (
        "import sys\nfrom fdist_site.cli.main import main\nmain(['--help'])\n"
        "print([name for name in ('django', 'requests', 'rich', 'redis', 'celery') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
