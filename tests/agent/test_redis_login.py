"""Logging in to Redis by the identity of a machine: a real server that takes one token, and a metadata server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import google.auth
import pytest
import redis as redis_py
from google.auth.compute_engine import _metadata
from google.auth.credentials import Credentials

from fdist_site import conf
from fdist_site.celery import make_app
from fdist_site.local.redis_server import RedisServer
from fdist_site.variables import ConfError
from nodes.agent.session import connect
from tests.cloud import TOKEN, Cloud
from transfers import redis_login
from transfers.links import Links
from transfers.nudge import nudge, queue_name

ACCOUNT = "node@example.org"


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """This machine is one of Google's, with an account whose token is TOKEN."""
    redis_login._credentials.cache_clear()
    with Cloud() as cloud:
        place = cloud.environment["GCE_METADATA_HOST"]
        for account in ("default", ACCOUNT):
            cloud.set(f"instance/service-accounts/{account}/", json.dumps({"email": ACCOUNT, "scopes": []}))
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", place)
        monkeypatch.setenv("GCE_METADATA_IP", place)
        monkeypatch.setattr(google.auth._default, "_get_gcloud_sdk_credentials", lambda *_, **__: (None, None))
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        yield cloud
    redis_login._credentials.cache_clear()


@pytest.fixture
def guarded(redis_server: RedisServer, redis: redis_py.Redis) -> Iterator[RedisServer]:
    """A server that lets in whoever brings TOKEN, as Memorystore does."""
    redis.acl_setuser("default", enabled=True, nopass=False, passwords=[f"+{TOKEN}"], reset_passwords=True)
    yield redis_server
    with redis_py.Redis(port=redis_server.port, password=TOKEN) as admin:
        admin.acl_setuser("default", enabled=True, nopass=True)


def test_agent_and_coordinator_log_in_with_the_machine_s_token(guarded: RedisServer, identity: Cloud) -> None:
    with pytest.raises(redis_py.AuthenticationError):
        connect(guarded.url).ping()
    assert connect(guarded.url, "google").ping()
    assert Links(guarded.url, guarded.broker_url, "main", redis_login="google").redis.ping()
    assert identity.tokens == 1, "one token serves every connection"


def test_nudges_pass_through_a_broker_that_asks_for_a_token(guarded: RedisServer, identity: Cloud) -> None:
    address = conf.broker_url({"FDIST_BROKER_URL": guarded.broker_url, "FDIST_REDIS_LOGIN": "google"})
    assert nudge(make_app(address), "ab" * 16, ["gpu-01"]) == 1
    with redis_py.Redis(port=guarded.port, db=1, password=TOKEN) as broker:
        assert broker.llen(queue_name("gpu-01")) == 1


def test_a_token_that_has_ended_is_renewed(identity: Cloud) -> None:
    login = redis_login.GoogleLogin()
    assert login.get_credentials() == ("default", TOKEN)
    credentials = redis_login._credentials()
    assert isinstance(credentials, Credentials)
    credentials.token = None
    assert login.get_credentials() == ("default", TOKEN)
    assert identity.tokens == 2


def test_an_identity_that_gives_no_token_is_a_connection_that_is_tried_again(
    guarded: RedisServer, identity: Cloud
) -> None:
    client = connect(guarded.url, "google")
    assert client.ping()
    redis_login._credentials().token = None
    client.connection_pool.disconnect()
    identity.denies = True
    with pytest.raises(redis_py.ConnectionError, match="this machine's identity gives no login for Redis"):
        client.ping()


def test_a_broker_s_address_keeps_its_options() -> None:
    address = conf.broker_url(
        {"REDIS_URL": "rediss://10.0.0.3:6379/0?ssl_cert_reqs=required", "FDIST_REDIS_LOGIN": "google"}
    )
    assert address == (
        "rediss://10.0.0.3:6379/1?ssl_cert_reqs=required&credential_provider=transfers.redis_login.GoogleLogin"
    )


def test_a_login_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(ConfError, match='FDIST_REDIS_LOGIN: "iam" is none of url, google'):
        conf.redis_login({"FDIST_REDIS_LOGIN": "iam"})
