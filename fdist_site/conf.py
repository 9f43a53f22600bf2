"""What the environment says, as typed values: for agents, which run without Django, and for whoever publishes to them.

Each function reads its own variables when it is called, so that importing this module needs no environment at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from nodes.agent.config import AgentConfig, MetricsConfig
from nodes.labels import NODE_NAME, parse_labels
from transfers.errors import FdistError

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_CELL = "main"
BROKER_DATABASE = "1"  # the queue's keys stay out of the scheduler's database
CELL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
RATE = re.compile(r"(?i)(\d+(?:\.\d+)?)\s*([kmgt]?)(?:bit)?(?:/s|ps)?")
RATE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
UNLIMITED = {"", "0", "none", "unlimited"}
LOG_FORMATS = ("line", "json")
SHORTEST_TOKEN = 16
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  (compared with, not listened on)


class ConfError(FdistError):
    """A variable of the environment is missing or cannot be used; the message names it."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(f"{variable}: {message}")
        self.variable = variable


def parse_rate(text: str) -> int | None:
    """Bits a second in "400mbit", "2.5 Gbit/s" or "1000000"; None means unlimited. Raises ValueError."""
    text = text.strip()
    if text.lower() in UNLIMITED:
        return None
    match = RATE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is no rate: write bits a second, such as 400mbit, 2.5gbit or 1000000')
    return int(float(match[1]) * RATE_UNITS[match[2].lower()]) or None


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

    def rate(self, variable: str) -> int | None:
        try:
            return parse_rate(self.text(variable))
        except ValueError as error:
            raise ConfError(variable, str(error)) from None


def redis_url(environment: Mapping[str, str] | None = None) -> str:
    """REDIS_URL: where the scheduler's state is."""
    return _Reader(environment).text("REDIS_URL", DEFAULT_REDIS_URL)


def broker_url(environment: Mapping[str, str] | None = None) -> str:
    """FDIST_BROKER_URL: where nudges travel; the server of REDIS_URL with database 1 unless set."""
    given = _Reader(environment).text("FDIST_BROKER_URL")
    if given:
        return given
    parts = urlsplit(redis_url(environment))
    if parts.scheme in {"unix", "redis+socket"}:  # the database is in the query there
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={BROKER_DATABASE}"
    return urlunsplit((parts.scheme, parts.netloc, f"/{BROKER_DATABASE}", parts.query, ""))


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
        cell=cell(environment),
        name=name,
        data_dir=Path(read.required("FDIST_DATA_DIR")),
        enrolment_key=read.required("FDIST_ENROLMENT_KEY"),
        listen_host=listen_host,
        advertise_host=advertise_host,
        shard_port=read.integer("FDIST_SHARD_PORT", 0, 0, 65535),
        labels=labels,
        upload_rate=read.rate("FDIST_UPLOAD_RATE"),
        download_rate=read.rate("FDIST_DOWNLOAD_RATE"),
        gcs_rate=read.rate("FDIST_GCS_RATE"),
        upload_slots=read.integer("FDIST_UPLOAD_SLOTS", 2, 0, 64),
        download_slots=read.integer("FDIST_DOWNLOAD_SLOTS", 2, 1, 64),
        gcs_slots=read.integer("FDIST_GCS_SLOTS", 1, 0, 64),
        heartbeat_seconds=read.seconds("FDIST_HEARTBEAT_SECONDS", 1.0, 0.05, 60.0),
        idle_seconds=read.seconds("FDIST_IDLE_SECONDS", 300.0, 0.1, 86_400.0),
        gcs_endpoint=read.text("STORAGE_EMULATOR_HOST") or None,
        gcs_project=read.text("FDIST_GCS_PROJECT") or None,
        log_level=log_level(environment),
        log_format=log_format(environment),
        metrics=metrics(environment),
    )
