"""What the environment says to an agent."""

from __future__ import annotations

import pytest

from fdist_site import conf
from fdist_site.variables import ConfError
from transfers.words import parse_rate

REQUIRED = {"FDIST_NODE_NAME": "gpu-07", "FDIST_DATA_DIR": "/data", "FDIST_ENROLMENT_KEY": "fdk_x"}


def test_defaults_fit_one_machine() -> None:
    config = conf.agent_config(REQUIRED)
    assert (config.advertise_host, config.shard_port) == ("127.0.0.1", 0)
    assert (config.upload_slots, config.download_slots, config.gcs_slots) == (6, 6, 3)
    assert config.upload_rate is None
    assert config.broker_url == "redis://127.0.0.1:6379/1"


@pytest.mark.parametrize(
    ("text", "bits"),
    [("400mbit", 400_000_000), ("2.5 Gbit/s", 2_500_000_000), ("1000000", 1_000_000), ("", None), ("0", None)],
)
def test_rates_are_read_as_people_write_them(text: str, bits: int | None) -> None:
    assert parse_rate(text) == bits


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FDIST_NODE_NAME", "GPU 7"),
        ("FDIST_DATA_DIR", ""),
        ("FDIST_ENROLMENT_KEY", ""),
        ("FDIST_LABELS", "zone"),
        ("FDIST_LOG_FORMAT", "xml"),
        ("FDIST_METRICS_LISTEN", "9464"),
        ("FDIST_METRICS_TOKEN", "short"),
        ("FDIST_UPLOAD_RATE", "fast"),
        ("FDIST_UPLOAD_SLOTS", "-1"),
        ("FDIST_DOWNLOAD_SLOTS", "0"),
        ("FDIST_SHARD_PORT", "70000"),
        ("FDIST_HEARTBEAT_SECONDS", "soon"),
        ("FDIST_CELL", "Main Cell"),
        ("FDIST_LOG_LEVEL", "loud"),
    ],
)
def test_an_error_names_the_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfError, match=f"^{variable}: "):
        conf.agent_config(REQUIRED | {variable: value})


def test_a_node_that_listens_everywhere_must_say_where_it_is_reached() -> None:
    with pytest.raises(ConfError, match=r"^FDIST_ADVERTISE_HOST: "):
        conf.agent_config(REQUIRED | {"FDIST_LISTEN_HOST": "::"})


@pytest.mark.parametrize(
    ("redis_url", "broker"),
    [
        ("rediss://:secret@cache:6379/0", "rediss://:secret@cache:6379/1"),
        ("redis://cache", "redis://cache/1"),
        ("unix:///run/redis.sock?db=0", "redis+socket:///run/redis.sock?virtual_host=1"),
    ],
)
def test_the_broker_is_another_database_of_the_same_server(redis_url: str, broker: str) -> None:
    assert conf.broker_url({"REDIS_URL": redis_url}) == broker
    assert conf.broker_url({"REDIS_URL": redis_url, "FDIST_BROKER_URL": "redis://other/3"}) == "redis://other/3"


def test_the_enrolment_key_is_not_shown() -> None:
    assert "fdk_x" not in repr(conf.agent_config(REQUIRED))


def test_metrics_are_served_to_whoever_has_the_token_or_not_at_all() -> None:
    assert conf.agent_config(REQUIRED).metrics is None
    listen = {"FDIST_METRICS_LISTEN": "[::1]:9464"}
    with pytest.raises(ConfError, match=r"^FDIST_METRICS_TOKEN: is needed"):
        conf.agent_config(REQUIRED | listen)
    found = conf.agent_config(REQUIRED | listen | {"FDIST_METRICS_TOKEN": "a-token-of-24-characters"}).metrics
    assert found is not None
    assert (found.host, found.port) == ("::1", 9464)
    assert "a-token" not in repr(found)
