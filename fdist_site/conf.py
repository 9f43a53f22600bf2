"""What the environment says, as typed values: for agents, which run without Django, and for whoever publishes to them.

Each function reads its own variables when it is called, so that importing this module needs no environment at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args
from urllib.parse import urlsplit, urlunsplit

from nodes.agent.config import AgentConfig, MetricsConfig
from nodes.labels import NODE_NAME, parse_labels
from transfers.dataplane.reuse import Reuse
from transfers.errors import FdistError
from transfers.redis_login import Login, broker_address
from transfers.signing import is_public_key, public_key_of
from transfers.words import parse_rate

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_CELL = "main"
BROKER_DATABASE = "1"  # the queue's keys stay out of the scheduler's database
CELL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
SIZE = re.compile(r"(?i)(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?")
UNLIMITED = {"", "0", "none", "unlimited"}
FLAGS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
LOG_FORMATS = ("line", "json")
SHORTEST_TOKEN = 16
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  (compared with, not listened on)


class ConfError(FdistError):
    """A variable of the environment is missing or cannot be used; the message names it."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(f"{variable}: {message}")
        self.variable = variable


class _Reader:
    """Reads typed variables out of a mapping; its errors name the variable."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self.environment = os.environ if environment is None else environment

    def text(self, variable: str, default: str = "") -> str:
        return self.environment.get(variable, "").strip() or default

    def required(self, variable: str) -> str:
        value = self.text(variable)
        if not value:
            raise ConfError(variable, "is not set, and an agent cannot run without it")
        return value

    def integer(self, variable: str, default: int, minimum: int, maximum: int) -> int:
        text = self.text(variable, str(default))
        if not text.isascii() or not text.isdigit():
            raise ConfError(variable, f'"{text}" is no whole number')
        if not minimum <= int(text) <= maximum:
            raise ConfError(variable, f"{text} is not between {minimum} and {maximum}")
        return int(text)

    def seconds(self, variable: str, default: float, minimum: float, maximum: float) -> float:
        text = self.text(variable, str(default))
        try:
            value = float(text)
        except ValueError:
            raise ConfError(variable, f'"{text}" is no number of seconds') from None
        if not minimum <= value <= maximum:
            raise ConfError(variable, f"{text} s is not between {minimum} and {maximum}")
        return value

    def flag(self, variable: str) -> bool:
        text = self.text(variable, "false").lower()
        if text not in FLAGS:
            raise ConfError(variable, f'"{text}" is neither true nor false')
        return FLAGS[text]

    def rate(self, variable: str) -> int | None:
        try:
            return parse_rate(self.text(variable))
        except ValueError as error:
            raise ConfError(variable, str(error)) from None

    def size(self, variable: str) -> int | None:
        try:
            return parse_size(self.text(variable))
        except ValueError as error:
            raise ConfError(variable, str(error)) from None


def parse_size(text: str) -> int | None:
    """Bytes in "800GB", "1.5 TiB" or "1000000"; None means no limit. Raises ValueError."""
    text = text.strip()
    if text.lower() in UNLIMITED:
        return None
    match = SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is no size: write bytes, such as 800GB, 1.5TiB or 1000000')
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** ("kmgt".index(match[2].lower()) + 1 if match[2] else 0)) or None


def redis_url(environment: Mapping[str, str] | None = None) -> str:
    """REDIS_URL: where the scheduler's state is."""
    return _Reader(environment).text("REDIS_URL", DEFAULT_REDIS_URL)


def broker_url(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_BROKER_URL: where nudges travel; the server of REDIS_URL with database 1 unless set."""
    given = _Reader(environment).text("FDIST_BROKER_URL") or _broker_beside(redis_url(environment))
    return broker_address(given, redis_login(environment))


def _broker_beside(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme in {"unix", "redis+socket"}:  # the database is in the query there
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={BROKER_DATABASE}"
    return urlunsplit((parts.scheme, parts.netloc, f"/{BROKER_DATABASE}", parts.query, ""))


def redis_login(environment: Mapping[str, str] | None = None) -> Login:
    """FDIST_REDIS_LOGIN: url, as the address says; or google, by the machine's identity."""
    text = _Reader(environment).text("FDIST_REDIS_LOGIN", "url")
    if text not in get_args(Login):
        raise ConfError("FDIST_REDIS_LOGIN", f'"{text}" is none of {", ".join(get_args(Login))}')
    return cast(Login, text)


def cell(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_CELL: which cell of nodes this process belongs to."""
    name = _Reader(environment).text("FDIST_CELL", DEFAULT_CELL)
    if not CELL_NAME.fullmatch(name):
        raise ConfError("FDIST_CELL", f'"{name}" is no cell name: lower-case letters, digits and - only, at most 31')
    return name


def node_name(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_NODE_NAME: the node whose agent this process is; empty in any other process."""
    return _Reader(environment).text("FDIST_NODE_NAME")


def log_level(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_LOG_LEVEL: debug, info, warning or error."""
    level = _Reader(environment).text("FDIST_LOG_LEVEL", "INFO").upper()
    if level not in LOG_LEVELS:
        raise ConfError("FDIST_LOG_LEVEL", f'"{level}" is none of {", ".join(LOG_LEVELS)}')
    return level


def log_format(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_LOG_FORMAT: line or json."""
    form = _Reader(environment).text("FDIST_LOG_FORMAT", "line").lower()
    if form not in LOG_FORMATS:
        raise ConfError("FDIST_LOG_FORMAT", f'"{form}" is none of {", ".join(LOG_FORMATS)}')
    return form


def link_rate(environment: Mapping[str, str] | None = None) -> int | None:
    """FDIST_LINK_RATE: bit/s of a node's network link, by which the efficiency of jobs is measured."""
    return _Reader(environment).rate("FDIST_LINK_RATE")


def metrics_token(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_METRICS_TOKEN: with which Prometheus may read /metrics; empty lets no program read it."""
    token = _Reader(environment).text("FDIST_METRICS_TOKEN")
    if token and len(token) < SHORTEST_TOKEN:
        raise ConfError("FDIST_METRICS_TOKEN", f"has {len(token)} characters; give it at least {SHORTEST_TOKEN}")
    return token


def metrics(environment: Mapping[str, str] | None = None) -> MetricsConfig | None:
    """FDIST_METRICS_LISTEN: where an agent or the coordinator serves /metrics; None when it does not."""
    text, token = _Reader(environment).text("FDIST_METRICS_LISTEN"), metrics_token(environment)
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfError("FDIST_METRICS_LISTEN", f'"{text}" is no host:port, such as 127.0.0.1:9464 or [::]:9464')
    if not token:
        raise ConfError("FDIST_METRICS_TOKEN", "is needed with FDIST_METRICS_LISTEN: nobody else may read metrics")
    return MetricsConfig(host.strip("[]"), int(port), token)


def agent_config(environment: Mapping[str, str] | None = None) -> AgentConfig:
    """What an agent is told by the environment; raises ConfError that names the variable at fault."""
    read = _Reader(environment)
    name = read.required("FDIST_NODE_NAME")
    if not NODE_NAME.fullmatch(name):
        raise ConfError(
            "FDIST_NODE_NAME", f'"{name}" is no node name: lower-case letters, digits, . and - only, at most 63'
        )
    try:
        labels = parse_labels(read.text("FDIST_LABELS"))
    except ValueError as error:
        raise ConfError("FDIST_LABELS", str(error)) from None
    listen_host = read.text("FDIST_LISTEN_HOST", "127.0.0.1")
    advertise_host = read.text("FDIST_ADVERTISE_HOST", "" if listen_host in ANY_ADDRESS else listen_host)
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
        enrolment_key=read.required("FDIST_ENROLMENT_KEY"),
        coordinator_keys=_coordinator_keys(read),
        listen_host=listen_host,
        advertise_host=advertise_host,
        shard_port=read.integer("FDIST_SHARD_PORT", 0, 0, 65535),
        labels=labels,
        upload_rate=read.rate("FDIST_UPLOAD_RATE"),
        download_rate=read.rate("FDIST_DOWNLOAD_RATE"),
        gcs_rate=read.rate("FDIST_GCS_RATE"),
        quota=read.size("FDIST_QUOTA"),
        reuse=_reuse(read.text("FDIST_REUSE", "link")),
        upload_slots=read.integer("FDIST_UPLOAD_SLOTS", 6, 0, 64),
        download_slots=read.integer("FDIST_DOWNLOAD_SLOTS", 6, 1, 64),
        gcs_slots=read.integer("FDIST_GCS_SLOTS", 3, 0, 64),
        heartbeat_seconds=read.seconds("FDIST_HEARTBEAT_SECONDS", 1.0, 0.05, 60.0),
        idle_seconds=read.seconds("FDIST_IDLE_SECONDS", 300.0, 0.1, 86_400.0),
        gcs_endpoint=read.text("STORAGE_EMULATOR_HOST") or None,
        gcs_project=read.text("FDIST_GCS_PROJECT") or None,
        log_level=log_level(environment),
        test_fleet=read.flag("FDIST_TEST_FLEET"),
        log_format=log_format(environment),
        metrics=metrics(environment),
        release=read.text("FDIST_RELEASE"),
    )


def _reuse(text: str) -> Reuse:
    if text not in get_args(Reuse):
        raise ConfError("FDIST_REUSE", f'"{text}" is none of {", ".join(get_args(Reuse))}')
    return cast(Reuse, text)


def _coordinator_keys(read: _Reader) -> tuple[str, ...]:
    """The public keys of FDIST_COORDINATOR_KEY, else the one that came with the enrolment key."""
    given = [key.strip() for key in read.text("FDIST_COORDINATOR_KEY").split(",") if key.strip()]
    if wrong := [key for key in given if not is_public_key(key)]:
        raise ConfError("FDIST_COORDINATOR_KEY", f'"{wrong[0]}" is no public key: it has 43 letters, digits, - and _')
    return tuple(given or filter(None, [public_key_of(read.text("FDIST_ENROLMENT_KEY"))]))
