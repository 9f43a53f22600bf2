"""What an agent is told at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transfers.dataplane.reuse import Reuse
from transfers.redis_login import Login


@dataclass(frozen=True)
class MetricsConfig:
    """Where /metrics is served, and who may read it. port: 0 lets the system choose."""

    host: str
    port: int
    token: str = field(repr=False)


@dataclass(frozen=True)
class AgentConfig:
    """Everything that an agent is told at its start. Rates are bits a second, None is unlimited.

    listen_host: the interface that the shard server binds. advertise_host: the name under which peers reach it.
    coordinator_keys: public keys, by one of which a plan has to be signed; with none, plans are taken as they are.
    test_fleet: whether it obeys orders to break (nodes.agent.chaos).
    shard_port: 0 lets the system choose. idle_seconds: how long a drain stays parked before it ends.
    enrolment_key: empty where the node asks to be let in by its machine's identity.
    peer_tls: off, on (serves by TLS) or required (and reads from nobody in plain text).
    release: what it says that it runs, the version of the code unless given.
    quota: bytes of all jobs together, None for no limit; beyond it jobs are evicted. reuse: see transfers.dataplane.
    """

    redis_url: str
    broker_url: str
    cell: str
    name: str
    data_dir: Path
    enrolment_key: str = field(repr=False)
    redis_login: Login = "url"
    coordinator_keys: tuple[str, ...] = ()
    listen_host: str = "127.0.0.1"
    advertise_host: str = "127.0.0.1"
    shard_port: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    upload_rate: int | None = None
    download_rate: int | None = None
    gcs_rate: int | None = None
    quota: int | None = None
    reuse: Reuse = "link"
    upload_slots: int = 6
    download_slots: int = 6
    gcs_slots: int = 3
    heartbeat_seconds: float = 1.0
    idle_seconds: float = 300.0
    gcs_endpoint: str | None = None
    gcs_project: str | None = None
    log_level: str = "INFO"
    test_fleet: bool = False
    log_format: str = "line"
    metrics: MetricsConfig | None = None
    release: str = ""
    peer_tls: str = "off"
