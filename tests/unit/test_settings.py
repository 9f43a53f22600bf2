"""Every variable is checked when it is read, and an error begins with its name."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from fdist_site import conf
from fdist_site.variables import ConfError
from tests.unit.test_docs import DOCS, first_cells

PROJECT = Path(__file__).resolve().parents[2]
AGENT = {"FDIST_NODE_NAME": "gpu-07", "FDIST_DATA_DIR": "/data", "FDIST_ENROLMENT_KEY": "fdk_x"}
# variable -> a value that cannot be meant
SITE_WRONG = {
    "REDIS_URL": "http://cache:6379",
    "FDIST_BROKER_URL": "amqp://cache",
    "FDIST_REDIS_LOGIN": "kerberos",
    "FDIST_CELL": "Main Cell",
    "FDIST_LOG_LEVEL": "loud",
    "FDIST_LOG_FORMAT": "xml",
    "FDIST_METRICS_TOKEN": "short",
    "FDIST_METRICS_LISTEN": "9464",
    "STORAGE_EMULATOR_HOST": "bucket",
    "FDIST_GCS_PROJECT": "My Project",
    "FDIST_TEST_FLEET": "perhaps",
    "DATABASE_URL": "nonsense",
    "FDIST_STATE_DIR": "/proc/none/state",
    "FDIST_SECRET_KEY": "short",
    "FDIST_SIGNING_KEY": "short",
    "FDIST_DEBUG": "maybe",
    "FDIST_ALLOWED_HOSTS": "https://fdist.example.org",
    "FDIST_CSRF_TRUSTED_ORIGINS": "fdist.example.org",
    "FDIST_HTTPS": "tls",
    "FDIST_TIME_ZONE": "Mars/Olympus",
    "FDIST_STATIC_ROOT": "/proc/none/static",
    "FDIST_API_RATE": "fast",
    "FDIST_SUBMIT_RATE": "0/min",
    "FDIST_PLAN_RATE": "10",
    "FDIST_STALLED_SECONDS": "-5",
    "FDIST_WEBHOOK_HTTP": "x",
    "FDIST_WEBHOOK_PRIVATE": "x",
    "FDIST_HISTORY_DAYS": "-1",
    "FDIST_HISTORY_ROWS": "many",
    "FDIST_LINK_RATE": "quick",
    "FDIST_IDENTITY_PROJECTS": "A Project",
    "FDIST_IDENTITY_ACCOUNTS": "somebody",
    "FDIST_IDENTITY_ZONES": "Europe/West",
    "FDIST_IDENTITY_CERTS_URL": "ftp://certs",
}
AGENT_WRONG = {
    "REDIS_URL": "cache:6379",
    "FDIST_BROKER_URL": "redis://cache:port",
    "FDIST_REDIS_LOGIN": "kerberos",
    "FDIST_CELL": "Main Cell",
    "FDIST_LOG_LEVEL": "loud",
    "FDIST_LOG_FORMAT": "xml",
    "FDIST_METRICS_TOKEN": "short",
    "FDIST_METRICS_LISTEN": "9464",
    "STORAGE_EMULATOR_HOST": "bucket",
    "FDIST_GCS_PROJECT": "My Project",
    "FDIST_TEST_FLEET": "perhaps",
    "FDIST_NODE_NAME": "GPU 7",
    "FDIST_DATA_DIR": "",
    "FDIST_ENROLMENT": "trust",
    "FDIST_ENROLMENT_KEY": "",
    "FDIST_COORDINATOR_KEY": "nonsense",
    "FDIST_LABELS": "zone",
    "FDIST_LISTEN_HOST": "http://0.0.0.0",
    "FDIST_ADVERTISE_HOST": "gpu-07/x",
    "FDIST_SHARD_PORT": "70000",
    "FDIST_UPLOAD_RATE": "fast",
    "FDIST_DOWNLOAD_RATE": "-1",
    "FDIST_GCS_RATE": "x",
    "FDIST_QUOTA": "half",
    "FDIST_REUSE": "never",
    "FDIST_UPLOAD_SLOTS": "-1",
    "FDIST_DOWNLOAD_SLOTS": "0",
    "FDIST_GCS_SLOTS": "65",
    "FDIST_RELEASE": "the latest",
    "FDIST_HEARTBEAT_SECONDS": "soon",
    "FDIST_IDLE_SECONDS": "0",
    "FDIST_PEER_TLS": "yes",
}
# Read by the command line of people and by the demo, whose own tests look at them, or by other programs.
ELSEWHERE = {
    "FDIST_URL",
    "FDIST_TOKEN",
    "FDIST_CONFIG",
    "XDG_CONFIG_HOME",
    "GCE_METADATA_HOST",
    "FDIST_REDIS_SERVER",
    "FDIST_GCS_SERVER",
}
OURS = SITE_WRONG.keys() | AGENT_WRONG.keys() | ELSEWHERE


def load_settings() -> None:
    runpy.run_path(str(PROJECT / "fdist_site/settings.py"))


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name in OURS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("FDIST_STATE_DIR", str(tmp_path))


def test_every_variable_has_a_wrong_value_here() -> None:
    assert first_cells(DOCS / "settings.md") == OURS


@pytest.mark.parametrize(("variable", "value"), SITE_WRONG.items())
def test_the_site_does_not_start_with_it(
    clean: None, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Exception, match=rf'^(Environment variable ")?{variable}\b') as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_the_site_starts_without_any(clean: None) -> None:
    load_settings()


@pytest.mark.parametrize(("variable", "value"), AGENT_WRONG.items())
def test_an_agent_does_not_start_with_it(variable: str, value: str) -> None:
    with pytest.raises(ConfError, match=f"^{variable}: "):
        conf.agent_config(AGENT | {variable: value})


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"FDIST_METRICS_LISTEN": "0.0.0.0:9464"}, "FDIST_METRICS_TOKEN"),
        ({"FDIST_LISTEN_HOST": "::"}, "FDIST_ADVERTISE_HOST"),
        ({"FDIST_ENROLMENT": "google"}, "FDIST_COORDINATOR_KEY"),
    ],
)
def test_what_one_variable_asks_of_another(given: dict[str, str], variable: str) -> None:
    with pytest.raises(ConfError, match=f"^{variable}: "):
        conf.agent_config(AGENT | given)


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"FDIST_IDENTITY_PROJECTS": "my-project"}, "FDIST_IDENTITY_ACCOUNTS"),
        ({"FDIST_IDENTITY_ACCOUNTS": "w@my-project.iam.gserviceaccount.com"}, "FDIST_IDENTITY_PROJECTS"),
    ],
)
def test_who_is_let_in_by_identity_is_said_whole(given: dict[str, str], variable: str) -> None:
    with pytest.raises(ConfError, match=f"^{variable}: "):
        conf.identity_policy(given)


def test_a_message_does_not_show_a_password() -> None:
    with pytest.raises(ConfError) as caught:
        conf.redis_url({"REDIS_URL": "rediss://user:hunter2hunter2@cache:port/0"})
    assert "hunter2" not in str(caught.value)


# --- as a person sees it

PRODUCTION = {
    "FDIST_SECRET_KEY": "GkS2v8Qm1xW5rT9yB4nC7pL0eZ3uJ6hD-fA_kV.oXwIqNbMtRsYcEgUi",
    "FDIST_SIGNING_KEY": "pQ4wE7rT1yU8iO2aS5dF9gH3jK6lZ0xC-vB_nM.QwErTyUiOpAsDfGhJk",
    "FDIST_ALLOWED_HOSTS": "fdist.example.org",
    "FDIST_CSRF_TRUSTED_ORIGINS": "https://fdist.example.org",
    "FDIST_HTTPS": "true",
    "REDIS_URL": "rediss://fdist-coordinator:a-long-password@10.0.0.5:6379/0?ssl_cert_reqs=required",
    "DATABASE_URL": "postgres://fdist:secret@10.0.0.6/fdist?sslmode=verify-ca",
    "FDIST_METRICS_TOKEN": "0123456789abcdef0123456789abcdef",
}


def manage(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.run(
        [sys.executable, PROJECT / "manage.py", *arguments],
        env=inherited | {"FDIST_STATE_DIR": str(tmp_path)} | variables,
        capture_output=True,
        text=True,
    )


def test_check_deploy_has_nothing_to_say_to_a_production_site(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_nor_to_one_that_is_reached_by_a_tunnel_alone(tmp_path: Path) -> None:
    tunnel = {name: value for name, value in PRODUCTION.items() if name not in ("FDIST_HTTPS", "FDIST_ALLOWED_HOSTS")}
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **tunnel)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FDIST_DEBUG", "true"),
        ("FDIST_HTTPS", "false"),
        ("FDIST_ALLOWED_HOSTS", "*"),
        ("FDIST_CSRF_TRUSTED_ORIGINS", ""),
        ("FDIST_SECRET_KEY", "only-twenty-characters"),
        ("FDIST_SIGNING_KEY", "a" * 60),
        ("FDIST_TEST_FLEET", "true"),
        ("REDIS_URL", "redis://user:a-long-password@10.0.0.5:6379/0"),
        ("REDIS_URL", "rediss://10.0.0.5:6379/0"),
        ("REDIS_URL", "rediss://user:a-long-password@10.0.0.5:6379/0?ssl_cert_reqs=none"),
        ("FDIST_WEBHOOK_HTTP", "true"),
    ],
)
def test_check_deploy_names_what_is_not_for_production(tmp_path: Path, variable: str, value: str) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION | {variable: value})
    assert done.returncode == 1
    found = set(re.findall(r"\(fdist\.[EW]\d+\) (\w+):", done.stderr))
    assert variable in found
    assert found <= {variable, "FDIST_BROKER_URL"}  # which follows REDIS_URL
    assert "(security." not in done.stderr


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nonsense", "is no address of a database"),
        ("mysql://fdist:hunter2hunter2@10.0.0.6/fdist", '"mysql://" is none of postgres://, sqlite:///'),
        ("postgres://fdist:hunter2hunter2@10.0.0.6", "names no database"),
        ("postgres://fdist:hunter2hunter2@10.0.0.6:port/fdist", "is no address of a database"),
        ("sqlite:////no/such/folder/fdist.sqlite3", "folder /no/such/folder is not there"),
    ],
)
def test_a_database_that_cannot_be_meant_is_one_line_without_its_password(
    tmp_path: Path, value: str, said: str
) -> None:
    done = manage(tmp_path, "check", DATABASE_URL=value)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("DATABASE_URL: ") and said in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "value", ["sqlite://:memory:", "postgresql://fdist@/fdist?host=/run/postgresql", "postgres:///?service=fdist"]
)
def test_a_database_that_can_be_meant_is_taken(tmp_path: Path, value: str) -> None:
    done = manage(tmp_path, "check", DATABASE_URL=value)
    assert done.returncode == 0, done.stderr


def test_a_variable_that_nobody_reads_is_named_with_the_one_that_is_like_it(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", **PRODUCTION, FDIST_HISTORY_DAY="30", FDIST_ZZ="1")
    assert "FDIST_HISTORY_DAY: is read by nothing here; FDIST_HISTORY_DAYS is like it." in done.stderr
    assert "FDIST_ZZ: is read by nothing here." in done.stderr
    agent = manage(tmp_path, "agent", "--name", "gpu-01", "--data-dir", str(tmp_path), FDIST_QUOTTA="10GB")
    assert "FDIST_QUOTTA: is read by nothing here; FDIST_QUOTA is like it." in agent.stderr


def test_a_command_ends_with_one_line_that_names_the_variable(tmp_path: Path) -> None:
    for variable, value in (("FDIST_API_RATE", "fast"), ("FDIST_DEBUG", "maybe")):
        done = manage(tmp_path, "check", **{variable: value})
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert variable in done.stderr
