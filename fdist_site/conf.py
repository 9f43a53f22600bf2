"""What the environment says, as typed values: for agents, which run without Django, and for whoever publishes to them.

Each function reads its own variables when it is called, so that importing this module needs no environment at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args
from urllib.parse import urlsplit, urlunsplit

from fdist_site.variables import ConfError, Reader
from nodes.agent.config import AgentConfig, MetricsConfig
from nodes.identity import CERTS_URL, Policy
from nodes.labels import NODE_NAME, parse_labels
from transfers.dataplane.reuse import Reuse
from transfers.redis_login import Login, broker_address
from transfers.signing import is_public_key, public_key_of

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_CELL = "main"
REDIS_SCHEMES = ("redis", "rediss", "unix")
BROKER_SCHEMES = ("redis", "rediss", "redis+socket")
BROKER_DATABASE = "1"  # the queue's keys stay out of the scheduler's database
CELL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
ACCOUNT = re.compile(r"[a-z0-9._-]+@[a-z0-9.:-]+")
ZONE = re.compile(r"[a-z0-9-]{1,40}")
ENROLMENTS = ("key", "google")
PEER_TLS = ("off", "on", "required")
PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9:.-]{0,62}")
RELEASE = re.compile(r"[\w.+-]{1,64}", re.ASCII)
HOST = re.compile(r"[\w.:%-]{1,255}", re.ASCII)
HOST_WORDS = "host: an address or a name, without a port"
LOG_FORMATS = ("line", "json")
SHORTEST_TOKEN = 16
LOG_LEVELS = ("info", "debug", "warning", "error")
ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  (compared with, not listened on)


def redis_url(environment: Mapping[str, str] | None = None) -> str:
    """REDIS_URL: where the scheduler's state is."""
    return Reader(environment).address("REDIS_URL", DEFAULT_REDIS_URL, REDIS_SCHEMES)


def broker_url(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_BROKER_URL: where nudges travel; the server of REDIS_URL with database 1 unless set."""
    given = Reader(environment).address("FDIST_BROKER_URL", _broker_beside(redis_url(environment)), BROKER_SCHEMES)
    return broker_address(given, redis_login(environment))


def _broker_beside(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme in {"unix", "redis+socket"}:  # the database is in the query there
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={BROKER_DATABASE}"
    return urlunsplit((parts.scheme, parts.netloc, f"/{BROKER_DATABASE}", parts.query, ""))


def redis_login(environment: Mapping[str, str] | None = None) -> Login:
    """FDIST_REDIS_LOGIN: url, as the address says; or google, by the machine's identity."""
    return cast(Login, Reader(environment).choice("FDIST_REDIS_LOGIN", get_args(Login)))


def cell(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_CELL: which cell of nodes this process belongs to."""
    name = Reader(environment).text("FDIST_CELL", DEFAULT_CELL)
    if not CELL_NAME.fullmatch(name):
        raise ConfError("FDIST_CELL", f'"{name}" is no cell name: lower-case letters, digits and - only, at most 31')
    return name


def gcs_endpoint(environment: Mapping[str, str] | None = None) -> str:
    """STORAGE_EMULATOR_HOST: a bucket service that is not Google's; empty for Google's."""
    read = Reader(environment)
    return read.address("STORAGE_EMULATOR_HOST", "", ("http", "https")) if read.text("STORAGE_EMULATOR_HOST") else ""


def gcs_project(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_GCS_PROJECT: the Google Cloud project to name in requests; empty for that of the login."""
    return Reader(environment).matching("FDIST_GCS_PROJECT", PROJECT_NAME, "project id")


def node_name(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_NODE_NAME: the node whose agent this process is; empty in any other process."""
    return Reader(environment).text("FDIST_NODE_NAME")


def log_level(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_LOG_LEVEL: debug, info, warning or error."""
    return Reader(environment).choice("FDIST_LOG_LEVEL", LOG_LEVELS).upper()


def log_format(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_LOG_FORMAT: line or json."""
    return Reader(environment).choice("FDIST_LOG_FORMAT", LOG_FORMATS)


def link_rate(environment: Mapping[str, str] | None = None) -> int | None:
    """FDIST_LINK_RATE: bit/s of a node's network link, by which the efficiency of jobs is measured."""
    return Reader(environment).rate("FDIST_LINK_RATE")


def metrics_token(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_METRICS_TOKEN: with which Prometheus may read /metrics; empty lets no program read it."""
    token = Reader(environment).text("FDIST_METRICS_TOKEN")
    if token and len(token) < SHORTEST_TOKEN:
        raise ConfError("FDIST_METRICS_TOKEN", f"has {len(token)} characters; give it at least {SHORTEST_TOKEN}")
    return token


def metrics(environment: Mapping[str, str] | None = None) -> MetricsConfig | None:
    """FDIST_METRICS_LISTEN: where an agent or the coordinator serves /metrics; None when it does not."""
    text, token = Reader(environment).text("FDIST_METRICS_LISTEN"), metrics_token(environment)
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfError("FDIST_METRICS_LISTEN", f'"{text}" is no host:port, such as 127.0.0.1:9464 or [::]:9464')
    if not token:
        raise ConfError("FDIST_METRICS_TOKEN", "is needed with FDIST_METRICS_LISTEN: nobody else may read metrics")
    return MetricsConfig(host.strip("[]"), int(port), token)


def identity_policy(environment: Mapping[str, str] | None = None) -> Policy | None:
    """FDIST_IDENTITY_*: whose machines are let in by their identity; None when nobody's are."""
    read = Reader(environment)
    projects, accounts = read.names("FDIST_IDENTITY_PROJECTS"), read.names("FDIST_IDENTITY_ACCOUNTS")
    zones = read.names("FDIST_IDENTITY_ZONES")
    certs_url = read.address("FDIST_IDENTITY_CERTS_URL", CERTS_URL, ("https", "http"))
    for variable, values, form, what in (
        ("FDIST_IDENTITY_PROJECTS", projects, PROJECT, "project id"),
        (
            "FDIST_IDENTITY_ACCOUNTS",
            accounts,
            ACCOUNT,
            "service account's address, such as NAME@PROJECT.iam.gserviceaccount.com",
        ),
        ("FDIST_IDENTITY_ZONES", zones, ZONE, "beginning of a zone's name, such as europe-west4-"),
    ):
        if wrong := [value for value in values if not form.fullmatch(value)]:
            raise ConfError(variable, f'"{wrong[0]}" is no {what}')
    if not projects:
        if accounts or zones:
            raise ConfError("FDIST_IDENTITY_PROJECTS", "is needed with the other FDIST_IDENTITY_ variables")
        return None
    if not accounts:
        raise ConfError(
            "FDIST_IDENTITY_ACCOUNTS",
            "is needed with FDIST_IDENTITY_PROJECTS: any machine of the project would be let in",
        )
    return Policy(projects, accounts, zones, certs_url)


def agent_config(environment: Mapping[str, str] | None = None) -> AgentConfig:
    """What an agent is told by the environment; raises ConfError that names the variable at fault."""
    read = Reader(environment)
    name = read.required("FDIST_NODE_NAME")
    if not NODE_NAME.fullmatch(name):
        raise ConfError(
            "FDIST_NODE_NAME", f'"{name}" is no node name: lower-case letters, digits, . and - only, at most 63'
        )
    try:
        labels = parse_labels(read.text("FDIST_LABELS"))
    except ValueError as error:
        raise ConfError("FDIST_LABELS", str(error)) from None
    enrolment, coordinator_keys = read.choice("FDIST_ENROLMENT", ENROLMENTS), _coordinator_keys(read)
    if enrolment == "google" and not coordinator_keys:
        raise ConfError(
            "FDIST_COORDINATOR_KEY", "is needed with FDIST_ENROLMENT=google: no enrolment key brings it along"
        )
    listen_host = read.matching("FDIST_LISTEN_HOST", HOST, HOST_WORDS) or "127.0.0.1"
    advertise_host = read.matching("FDIST_ADVERTISE_HOST", HOST, HOST_WORDS) or (
        "" if listen_host in ANY_ADDRESS else listen_host
    )
    if not advertise_host:
        raise ConfError(
            "FDIST_ADVERTISE_HOST",
            f"is needed: nobody can connect to {listen_host}; give the address by which peers reach this node",
        )
    return AgentConfig(
        redis_url=redis_url(environment),
        broker_url=broker_url(environment),
        redis_login=redis_login(environment),
        cell=cell(environment),
        name=name,
        data_dir=Path(read.required("FDIST_DATA_DIR")),
        enrolment_key=read.required("FDIST_ENROLMENT_KEY") if enrolment == "key" else "",
        coordinator_keys=coordinator_keys,
        listen_host=listen_host,
        advertise_host=advertise_host,
        shard_port=read.integer("FDIST_SHARD_PORT", 0, 0, 65535),
        labels=labels,
        upload_rate=read.rate("FDIST_UPLOAD_RATE"),
        download_rate=read.rate("FDIST_DOWNLOAD_RATE"),
        gcs_rate=read.rate("FDIST_GCS_RATE"),
        quota=read.size("FDIST_QUOTA"),
        reuse=cast(Reuse, read.choice("FDIST_REUSE", get_args(Reuse))),
        upload_slots=read.integer("FDIST_UPLOAD_SLOTS", 6, 0, 64),
        download_slots=read.integer("FDIST_DOWNLOAD_SLOTS", 6, 1, 64),
        gcs_slots=read.integer("FDIST_GCS_SLOTS", 3, 0, 64),
        heartbeat_seconds=read.seconds("FDIST_HEARTBEAT_SECONDS", 1.0, 0.05, 60.0),
        idle_seconds=read.seconds("FDIST_IDLE_SECONDS", 300.0, 0.1, 86_400.0),
        gcs_endpoint=gcs_endpoint(environment) or None,
        gcs_project=gcs_project(environment) or None,
        log_level=log_level(environment),
        test_fleet=read.flag("FDIST_TEST_FLEET"),
        log_format=log_format(environment),
        metrics=metrics(environment),
        peer_tls=read.choice("FDIST_PEER_TLS", PEER_TLS),
        release=read.matching("FDIST_RELEASE", RELEASE, "release: letters, digits, ., _, + and -, at most 64"),
    )


def _coordinator_keys(read: Reader) -> tuple[str, ...]:
    """The public keys of FDIST_COORDINATOR_KEY, else the one that came with the enrolment key."""
    given = [key.strip() for key in read.text("FDIST_COORDINATOR_KEY").split(",") if key.strip()]
    if wrong := [key for key in given if not is_public_key(key)]:
        raise ConfError("FDIST_COORDINATOR_KEY", f'"{wrong[0]}" is no public key: it has 43 letters, digits, - and _')
    return tuple(given or filter(None, [public_key_of(read.text("FDIST_ENROLMENT_KEY"))]))
