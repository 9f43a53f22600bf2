"""How the cell is at the moment of a scrape, from the record and the scheduler: the same whichever process answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import Count
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nodes.models import Node, NodeState
from transfers import recorder
from transfers.exposition import new_registry
from transfers.links import Links, get_links
from transfers.metrics import scheduler_load, standing
from transfers.models import Job, JobState
from transfers.scheduler.types import UP

logger = logging.getLogger(__name__)
MOST_COUNTED_BEHIND = 10_000


def registry() -> CollectorRegistry:
    """One for a process that serves the site; `settings` say which cell."""
    made = new_registry()
    made.register(CellCollector(get_links))
    return made


class CellCollector(Collector):
    """Asks the record and the scheduler when it is scraped; a part that cannot be asked is left out, and said to be."""

    def __init__(self, links: Callable[[], Links]) -> None:
        self._links = links

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is asked when it is registered

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("fdist_up", "1 where the part answers.", labels=["part"])
        for part, figures in (("database", _record), ("redis", _scheduler), ("redis_info", scheduler_load.figures)):
            try:
                yield from list(figures(self._links()))
            except (redis.RedisError, DatabaseError) as error:
                logger.warning("not measured part=%s reason=%s", part, error)
                up.add_metric([part], 0)
            else:
                up.add_metric([part], 1)
        yield up


def _record(links: Links) -> Iterator[Metric]:
    cell = settings.FDIST_CELL
    yield _states("fdist_nodes", "Nodes of the cell.", Node.objects.filter(cell=cell), NodeState.values)
    yield _states("fdist_jobs", "Jobs of the cell.", Job.objects.filter(cell=cell), JobState.values)
    yield from standing.figures(links)


def _states(name: str, what: str, rows: Any, states: Iterable[str]) -> Metric:
    found = dict(rows.order_by().values_list("state").annotate(Count("pk")))
    family = GaugeMetricFamily(name, what, labels=["state"])
    for state in states:
        family.add_metric([state], found.get(state, 0))
    return family


def _scheduler(links: Links) -> Iterator[Metric]:
    scheduler = links.scheduler
    views = [view for view in scheduler.nodes() if view.state in UP]
    overview = scheduler.overview()
    yield _gauge("fdist_transfers_running", "Transfers that have a lease.", overview["transfers"])
    yield _gauge("fdist_bucket_reads_running", "Reads from the bucket.", sum(view.gcs_reads for view in views))
    rate = GaugeMetricFamily("fdist_receive_bytes_per_second", "By nodes' heartbeats, of all nodes.", labels=["source"])
    rate.add_metric(["bucket"], sum(view.rate_gcs for view in views))
    rate.add_metric(["peer"], sum(view.rate_down for view in views))
    yield rate
    yield _gauge("fdist_disk_bytes", "Disk of the nodes that are up.", sum(view.disk_total for view in views))
    yield _gauge("fdist_disk_free_bytes", "Free of it.", sum(view.disk_free for view in views))
    full = min((view.disk_free for view in views), default=0)
    yield _gauge("fdist_disk_free_least_bytes", "Free on the fullest node that is up.", full)
    yield _gauge("fdist_nodes_slow", "Nodes that are up and count as slow.", sum(view.slow for view in views))
    yield _gauge("fdist_nodes_barred", "Nodes that sent damaged bytes and serve nobody.", sum(v.barred for v in views))
    yield CounterMetricFamily("fdist_scheduler_leases", "Leases given.", value=overview["assigned"])
    yield CounterMetricFamily("fdist_scheduler_attempts", "Pairs of nodes looked at for them.", overview["attempts"])
    yield from _queues(links)


def _queues(links: Links) -> Iterator[Metric]:
    """What waits: nodes for a source, shards for a first read, events for the recorder."""
    waiting = missing = 0
    for job in Job.objects.open().filter(cell=links.cell).values_list("id", flat=True):
        view = links.scheduler.job(job.hex)
        missing += view.missing if view else 0
        waiting += sum(node.state == "waiting" for node in links.scheduler.job_nodes(job.hex)) if view else 0
    yield _gauge("fdist_nodes_waiting", "Nodes of open jobs that wait for a source.", waiting)
    yield _gauge("fdist_shards_fresh", "Shards of open jobs that only the bucket can give.", missing)
    behind = links.scheduler.events(recorder.position(links.cell), count=MOST_COUNTED_BEHIND)
    known = min(len(behind), MOST_COUNTED_BEHIND)
    yield _gauge("fdist_recorder_events_behind", "Events not in the record yet, counted up to 10,000.", known)
    lag = 0.0
    if behind:
        seconds, micros = links.redis.time()
        lag = max(0.0, seconds + micros / 1e6 - int(behind[0].cursor.partition("-")[0]) / 1000)
    yield _gauge("fdist_recorder_lag_seconds", "Age of the oldest event that is not in the record.", lag)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)
