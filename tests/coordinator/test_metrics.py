"""What Prometheus reads from the site, the coordinator and an agent, and what the dashboard and the alerts ask for."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
import requests
import yaml
from django.contrib.auth.models import AbstractUser
from django.test import Client
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.redis_server import RedisServer
from nodes.agent.config import MetricsConfig
from tests.agent.fleet import Fleet as AgentFleet
from tests.site_fixtures import Fleet
from transfers import submission
from transfers.coordinator.leader import Leader
from transfers.coordinator.loop import Loop
from transfers.coordinator.parts import Recorder
from transfers.links import Links
from transfers.metrics import counts
from transfers.metrics.tally import tally
from transfers.metrics.view import make_registry
from transfers.models import Job, Standing
from transfers.recorder import position
from transfers.scheduler.types import Event

pytestmark = pytest.mark.django_db
TOKEN = "a-token-for-prometheus"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
OF_PROMETHEUS = {"instance", "job"}  # labels that it adds when it scrapes
GRAFANA = Path(__file__).resolve().parents[2] / "docs" / "grafana"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}


@pytest.fixture
def token(settings: Any) -> Iterator[str]:
    settings.FDIST_METRICS_TOKEN = TOKEN
    make_registry.cache_clear()
    yield TOKEN
    make_registry.cache_clear()


def value(text: str, name: str, **labels: str) -> float:
    """One sample of what /metrics gave."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return float(found[0])


def scrape(client: Client) -> str:
    answer = client.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    return answer.content.decode()


def coordinators() -> str:
    return generate_latest(counts.REGISTRY).decode()


@pytest.fixture
def job(fleet: Fleet, links: Links, payload: str) -> Job:
    """Complete on two nodes in the scheduler; nothing is folded yet."""
    fleet.add("gpu-01", "gpu-02", disk_free=7 * 10**9)
    found = submission.submit({"source": payload})
    fleet.announce(found.id.hex)
    fleet.move(found.id.hex)
    return found


def test_nobody_reads_metrics_without_the_token_or_the_permission(
    client: Client, links: Links, admin: AbstractUser, viewer: AbstractUser, settings: Any, token: str
) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    client.force_login(viewer)
    assert client.get("/metrics").status_code == 401
    client.force_login(admin)
    assert client.get("/metrics").status_code == 200
    client.logout()
    settings.FDIST_METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_the_site_tells_how_the_cell_is(client: Client, job: Job, links: Links, token: str) -> None:
    text = scrape(client)
    assert value(text, "fdist_jobs", state="running") == 1
    assert value(text, "fdist_nodes", state="live") == 2
    assert value(text, "fdist_disk_free_least_bytes") == 7 * 10**9
    assert value(text, "fdist_disk_free_bytes") == 14 * 10**9
    assert value(text, "fdist_scheduler_leases_total") == 2 * job.shard_count
    assert value(text, "fdist_recorder_events_behind") > 2 * job.shard_count
    assert value(text, "fdist_redis_command_calls_total", command="fcall") > 0
    assert [value(text, "fdist_up", part=part) for part in ("database", "redis", "redis_info")] == [1, 1, 1]
    while position(links.cell) != (links.scheduler.stream_bounds() or ("", ""))[1]:
        Recorder(links).step()
    assert value(scrape(client), "fdist_recorder_events_behind") == 0


def test_shards_without_a_copy_and_nodes_that_wait_are_told(
    client: Client, fleet: Fleet, links: Links, payload: str, token: str
) -> None:
    fleet.add("gpu-01")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    assert value(scrape(client), "fdist_shards_fresh") == job.shard_count
    links.scheduler.next("gpu-01", fleet.epochs["gpu-01"], [], want=2)
    text = scrape(client)
    assert value(text, "fdist_transfers_running") == value(text, "fdist_bucket_reads_running") == 1


def test_without_redis_the_rest_is_told_and_that_redis_is_away(client: Client, settings: Any, token: str) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    text = scrape(client)
    assert [value(text, "fdist_up", part=part) for part in ("database", "redis")] == [1, 0]
    assert value(text, "fdist_jobs", state="running") == 0


def test_the_recorder_counts_what_it_wrote(job: Job, links: Links, settings: Any) -> None:
    settings.FDIST_LINK_RATE = 8 * job.size  # a second for the payload
    before, shards = coordinators(), job.shard_count
    while position(links.cell) != (links.scheduler.stream_bounds() or ("", ""))[1]:
        Recorder(links).step()
    after = coordinators()

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("fdist_transfers_total", source="bucket", outcome="done") == shards
    assert more("fdist_transfers_total", source="peer", outcome="done") == shards
    assert more("fdist_transfer_bytes_total", source="bucket") == 1000 * shards
    assert more("fdist_jobs_ended_total", state="complete") == 1
    assert more("fdist_job_amplification_ratio_count") == 1
    assert more("fdist_job_efficiency_ratio_count", node="last") == 1
    assert more("fdist_recorder_events_total") > 2 * shards
    assert more("fdist_recorder_batch_seconds_count") >= 1


def test_bytes_from_zone_to_zone_are_counted_once_they_are_in_the_record(
    fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01", "gpu-02", labels={"zone": "a"}).add("gpu-03", labels={"zone": "b"}).add("gpu-04")
    job = submission.submit({"source": payload})
    fleet.announce(job.id.hex)
    fleet.move(job.id.hex)
    before = value(coordinators(), "fdist_transfer_bytes_across_zones_total")
    for _ in range(2):  # a second look finds nothing new
        while position(links.cell) != (links.scheduler.stream_bounds() or ("", ""))[1]:
            Recorder(links).step()
    job.refresh_from_db()
    after = value(coordinators(), "fdist_transfer_bytes_across_zones_total")
    assert after - before == job.bytes_across_zones > 0
    assert job.bytes_across_zones < job.bytes_from_peers, "gpu-02 has a peer in its own zone, and gpu-04 has no zone"


def test_failures_are_counted_by_reason_and_unknown_reasons_share_one(links: Links) -> None:
    def event(kind: str, why: str = "", **fields: str) -> Event:
        return Event("1-0", 1, kind, {"job": "ab" * 16, "node": "n1", "why": why, **fields})

    before = coordinators()
    events = [event("failed", "busy"), event("failed", "never heard of"), event("expired", "stalled", source="n2")]
    tally([*events, event("corrupt", "digest", source="n2"), event("disputed"), event("node_dead")], None)
    after = coordinators()
    expected = {
        ("fdist_transfer_failures_total", ("reason", "busy")): 1,
        ("fdist_transfer_failures_total", ("reason", "other")): 1,
        ("fdist_transfer_failures_total", ("reason", "stalled")): 1,
        ("fdist_transfer_failures_total", ("reason", "digest")): 1,
        ("fdist_verification_failures_total", ("of", "shard")): 1,
        ("fdist_verification_failures_total", ("of", "file")): 1,
    }
    for (name, label), count in expected.items():
        assert value(after, name, **dict([label])) - value(before, name, **dict([label])) == count, (name, label)
    for name in ("fdist_leases_expired_total", "fdist_nodes_died_total"):
        assert value(after, name) - value(before, name) == 1


@pytest.fixture
def agent_metrics(
    redis_server: RedisServer, redis: redis_py.Redis, gcs: GcsServer, tmp_path: Path
) -> Iterator[tuple[AgentFleet, str]]:
    """Two agents that complete a job, and what one of them tells."""
    fleet = AgentFleet(redis_server.url, redis_server.broker_url, gcs, tmp_path)
    try:
        metrics = MetricsConfig("127.0.0.1", 0, TOKEN)
        fleet.start_all(["n1", "n2"], metrics=metrics, download_slots=2, gcs_slots=2)
        payload = fleet.payload({"a": 6 * 1024 * 1024})
        job = fleet.submit(payload, ["n1", "n2"])
        fleet.wait_state(job, "complete")
        yield fleet, ask(fleet, "n1", BEARER).text
    finally:
        fleet.close()


def ask(fleet: AgentFleet, node: str, headers: dict[str, str], path: str = "/metrics") -> requests.Response:
    metrics = fleet.agents[node].metrics
    assert metrics is not None and metrics.port
    return requests.get(f"http://127.0.0.1:{metrics.port}{path}", headers=headers, timeout=10)


def test_an_agent_tells_what_came_and_what_went(agent_metrics: tuple[AgentFleet, str]) -> None:
    fleet, text = agent_metrics
    assert value(text, "fdist_agent_info", node="n1", cell="main") == 1
    assert value(text, "fdist_agent_registered") == 1
    came = [value(text, "fdist_agent_received_bytes_total", source=source) for source in ("bucket", "peer")]
    assert sum(came) == 6 * 1024 * 1024
    done = [value(text, "fdist_agent_transfers_total", source=s, outcome="ok") for s in ("bucket", "peer")]
    assert sum(done) == 6
    assert value(text, "fdist_agent_disk_free_bytes") > 0
    assert value(text, "fdist_agent_verification_failures_total") == 0
    gaps, waits = value(text, "fdist_agent_handover_gap_seconds_count"), value(text, "fdist_agent_waits_total")
    assert 0 < gaps + waits < 6, "each lane's first transfer follows none"
    assert value(text, "fdist_shard_server_starts_total") == 1
    assert value(text, "fdist_shard_server_resident_memory_bytes") > 1_000_000
    assert ask(fleet, "n1", {}).status_code == 401
    assert ask(fleet, "n1", {"Authorization": f"Token {TOKEN}"}).status_code == 401
    assert ask(fleet, "n1", BEARER, "/jobs").status_code == 404


def asked_for() -> Iterator[tuple[str, str]]:
    """Each expression of the dashboard and of the alerts, with where it stands."""
    for panel in json.loads((GRAFANA / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for group in yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_exist_with_labels_that_they_have(
    client: Client, agent_metrics: tuple[AgentFleet, str], links: Links, token: str
) -> None:
    samples: dict[str, dict[str, set[str]]] = {}
    Loop(Recorder(links), Leader(links.redis, links.cell, "recorder"), threading.Event())
    Standing.objects.create(name="llama", source="gs://weights/llama/", destination="llama")
    for text in (scrape(client), coordinators(), agent_metrics[1]):
        for family in text_string_to_metric_families(text):
            for suffix in SUFFIXES.get(family.type, ("",)):
                samples.setdefault(family.name + suffix, {"le": set()} if suffix == "_bucket" else {})
            for sample in family.samples:
                for label, given in sample.labels.items():
                    samples.setdefault(sample.name, {}).setdefault(label, set()).add(given)
    asked = list(asked_for())
    assert len(asked) > 50
    for where, expression in asked:
        names = re.findall(r"\b(?:fdist|process)_[a-z0-9_]+", expression)
        assert names, where
        assert [name for name in names if name not in samples] == [], where
        for by in re.findall(r"\bby \(([^)]*)\)", expression):
            for label in set(re.findall(r"\w+", by)) - OF_PROMETHEUS:
                assert any(label in samples[name] for name in names), f"{where}: no {label} in {names}"
        for name, matchers in re.findall(r"\b(\w+)\{([^}]*)\}", expression):
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
                if label in OF_PROMETHEUS:
                    continue
                unknown = set(values.split("|")) - samples[name].get(label, set())
                assert not unknown, f"{where}: no {name} has {label}={unknown}"


def test_labels_have_few_values(client: Client, job: Job, links: Links, token: str) -> None:
    """A series for each node, job or shard would be 10,000 of each name."""
    for text in (scrape(client), coordinators()):
        for family in text_string_to_metric_families(text):
            assert len(family.samples) <= 200, family.name
            used = {label for sample in family.samples for label in sample.labels}
            assert not used & {"job", "shard", "instance"}, family.name
