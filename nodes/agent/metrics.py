"""What a node tells Prometheus of itself. Imported only where it is asked to."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from nodes.agent.config import MetricsConfig
from nodes.agent.log import say
from nodes.agent.vitals import resident_bytes
from transfers.exposition import MetricsServer, new_registry

if TYPE_CHECKING:
    from nodes.agent.agent import Agent
    from nodes.agent.transfer import Transfer

logger = logging.getLogger(__name__)

GAPS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OUTCOMES = ("ok", "failed", "corrupt", "cancelled")
SOURCES = ("bucket", "peer")


class AgentMetrics:
    """The registry of one agent, and the server that shows it."""

    def __init__(self, config: MetricsConfig) -> None:
        self._config = config
        self._server: MetricsServer | None = None
        self.registry = registry = new_registry()
        self._transfers = Counter(
            "fdist_agent_transfers", "Shards on their way here that ended.", ["source", "outcome"], registry=registry
        )
        self._failures = Counter(
            "fdist_agent_transfer_failures", "Of them those that did not succeed.", ["reason"], registry=registry
        )
        self._corrupt = Counter(
            "fdist_agent_verification_failures", "Shards that arrived with another checksum.", registry=registry
        )
        self._seconds = Histogram(
            "fdist_agent_transfer_seconds", "From start to end.", ["source"], buckets=SECONDS, registry=registry
        )
        self._first_byte = Histogram(
            "fdist_agent_first_byte_seconds",
            "From start to first byte.",
            ["source"],
            buckets=SECONDS,
            registry=registry,
        )
        self._gaps = Histogram(
            "fdist_agent_handover_gap_seconds",
            "From the end of a transfer to the next one's first byte in its lane, while there was work.",
            buckets=GAPS,
            registry=registry,
        )
        self._waits = Counter("fdist_agent_waits", "Hand-overs before which the node was parked.", registry=registry)
        for source in SOURCES:
            self._seconds.labels(source)
            self._first_byte.labels(source)
            for outcome in OUTCOMES:
                self._transfers.labels(source, outcome)

    def transfer_ended(self, transfer: Transfer) -> None:
        """In a mover's thread, when its transfer has ended."""
        if transfer.ending is None:
            return
        source, outcome = "bucket" if transfer.from_gcs else "peer", transfer.ending.outcome
        self._transfers.labels(source, outcome).inc()
        self._seconds.labels(source).observe(transfer.seconds)
        if outcome not in ("ok", "cancelled"):
            self._failures.labels(transfer.ending.why or outcome).inc()
        if outcome == "corrupt":
            self._corrupt.inc()
        if transfer.first_byte is not None:
            self._first_byte.labels(source).observe(transfer.first_byte - transfer.started)
        if (gap := transfer.gap) is not None:
            if gap[1]:
                self._waits.inc()
            else:
                self._gaps.observe(gap[0])

    def serve(self, agent: Agent) -> None:
        """Show them from now on. A port that is taken is logged, and the node works without."""
        self.registry.register(AgentCollector(agent))
        config = self._config
        try:
            self._server = MetricsServer(config.host, config.port, config.token, self.registry)
        except OSError as error:
            say(logger, logging.ERROR, "no metrics", node=agent.node, host=config.host, port=config.port, error=error)
            return
        self._server.start()
        say(logger, logging.INFO, "metrics", node=agent.node, host=config.host, port=self._server.port)

    @property
    def port(self) -> int:
        """Where they are shown; 0 while they are not."""
        return self._server.port if self._server else 0

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


class AgentCollector(Collector):
    """What an agent knows at the moment of a scrape."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        agent, config = self._agent, self._agent.config
        info = InfoMetricFamily("fdist_agent", "Which node this is.")
        info.add_metric([], {"node": config.name, "cell": config.cell})
        yield info
        received = CounterMetricFamily("fdist_agent_received_bytes", "Bytes that came here.", labels=["source"])
        received.add_metric(["bucket"], agent.bucket_intake.total)
        received.add_metric(["peer"], agent.intake.total)
        yield received
        drain = agent.drain_loop
        yield _gauge(
            "fdist_agent_registered", "1 while the scheduler knows this node.", agent.session.epoch is not None
        )
        yield _gauge("fdist_agent_transfers_running", "Shards on their way here.", len(drain.held()))
        yield _gauge("fdist_agent_parked", "1 while the node waits for a source.", drain.parked)
        yield _gauge("fdist_agent_jobs", "Jobs of which this node keeps a state.", len(agent.book.jobs()))
        yield _gauge("fdist_agent_disk_bytes", "Size of the data directory's file system.", agent.store.total())
        yield _gauge("fdist_agent_disk_free_bytes", "Free of it.", agent.store.free())
        yield from self._server()

    def _server(self) -> Iterator[Metric]:
        """By the last heartbeat; counts begin anew with the shard server's process."""
        server = self._agent.server
        stats = server.stats
        yield CounterMetricFamily("fdist_shard_server_sent_bytes", "Bytes sent to peers.", value=stats.get("sent", 0))
        yield CounterMetricFamily("fdist_shard_server_requests", "Requests.", value=stats.get("requests", 0))
        yield CounterMetricFamily("fdist_shard_server_refused", "Refused requests.", value=stats.get("refused", 0))
        yield CounterMetricFamily("fdist_shard_server_broken", "Sendings cut short.", value=stats.get("broken", 0))
        yield CounterMetricFamily("fdist_shard_server_starts", "Starts of its process.", value=server.starts)
        yield _gauge("fdist_shard_server_sending", "Shards being sent.", stats.get("active", 0))
        yield _gauge("fdist_shard_server_connections", "Open connections.", stats.get("connections", 0))
        memory = resident_bytes(server.pid)
        yield _gauge("fdist_shard_server_resident_memory_bytes", "Memory of its process.", memory)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))
