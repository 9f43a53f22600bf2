"""How long pages, admin lists and API lists take with a full database, and how many queries each makes.

    python -m tests.bench.pages                          1,000 nodes, 200 jobs, a million transfers, on SQLite
    python -m tests.bench.pages --database postgresql
    python -m tests.bench.pages --database sqlite:////tmp/record.sqlite3    one that `manage.py fill_record` filled

Requests are made in this process: what is measured is the site's own work, without a network.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.site import site

LIMIT_MS = 200
KEY = "fdk_bench"


@dataclass(frozen=True)
class Figures:
    url: str
    status: int
    queries: int
    milliseconds: list[float]
    cpu: float  # milliseconds of a processor, the median
    size: int

    @property
    def p50(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def p95(self) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[int(0.95 * (len(ordered) - 1))]


def addresses() -> Iterator[str]:
    """Every list and detail page that has something to do with the record; of jobs the largest and an old one."""
    from django.contrib.admin import site as admin_site
    from django.urls import reverse

    from nodes.models import Node
    from transfers.models import Job, Transfer

    yield from ("/", "/jobs/", "/jobs/?page=4", "/jobs/?state=complete", "/jobs/?name=model", "/jobs/new/")
    newest, oldest = Job.objects.first(), Job.objects.last()
    node = Node.objects.last()
    assert newest and oldest and node
    yield from (f"/jobs/{newest.pk}/", f"/jobs/{oldest.pk}/")
    yield from ("/nodes/", "/nodes/?page=4", "/nodes/?labels=zone=zone-1&name=1", f"/nodes/{node.name}/")
    yield from ("/api/v1/jobs/", "/api/v1/jobs/?page_size=500", "/api/v1/jobs/?state=failed&ordering=-size")
    yield from ("/api/v1/nodes/", "/api/v1/nodes/?page_size=500", f"/api/v1/nodes/{node.name}/", "/api/v1/cell/")
    yield from ("/api/v1/nodes/?labels=zone=zone-1", "/standing/", "/api/v1/standing/")
    for job in (newest, oldest):
        yield f"/api/v1/jobs/{job.pk}/"
        yield from (f"/api/v1/jobs/{job.pk}/{part}/" for part in ("nodes", "files", "shards", "events", "transfers"))
        yield from (f"/api/v1/jobs/{job.pk}/transfers/?{by}" for by in (f"node={node.name}", "outcome=corrupt"))
    yield from ("/api/v1/transfers/", "/api/v1/transfers/?outcome=corrupt", "/api/v1/transfers/?source=bucket")
    yield "/api/v1/transfers/active/"
    yield from (f"/api/v1/transfers/?node={node.name}", f"/api/v1/transfers/?source={node.name}")
    yield f"/api/v1/transfers/?job={oldest.pk}&shard=1"
    ours = [model for model in admin_site._registry if model._meta.app_label in ("nodes", "transfers")]
    yield "/admin/"
    for model in ours:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        if (row := model._default_manager.last()) is not None:
            yield reverse(f"{name}_change", args=[row.pk])
    transfers = reverse("admin:transfers_transfer_changelist")
    last = Transfer.objects.count() // 50 // 2
    yield from (f"{transfers}?outcome__exact=corrupt", f"{transfers}?q={node.name}", f"{transfers}?p={min(last, 100)}")
    yield f"{reverse('admin:transfers_jobnode_changelist')}?q={node.name}"
    yield f"{reverse('admin:transfers_job_changelist')}?q=model"


def measure(client: Any, url: str, times: int) -> Figures:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as caught:
        client.get(url)
    queries = len(caught)  # now: the next request begins a new log
    spent, worked = [], []
    for _ in range(times):
        began, cpu = time.perf_counter(), time.process_time()
        answer = client.get(url)
        spent.append((time.perf_counter() - began) * 1000)
        worked.append((time.process_time() - cpu) * 1000)
    return Figures(url, answer.status_code, queries, spent, statistics.median(worked), len(answer.content))


def register_nodes() -> None:
    """The scheduler knows the fleet of the record and its open jobs, as it would."""
    from nodes.models import Node, NodeState, digest_of
    from transfers.links import get_links
    from transfers.models import Job
    from transfers.publishing import publish
    from transfers.scheduler.types import NodeInfo

    links = get_links()
    links.scheduler.set_enrolment_keys([digest_of(KEY)])
    for node in Node.objects.filter(cell=links.cell, state=NodeState.LIVE):
        links.scheduler.register(
            NodeInfo(node.name, node.address, "ab" * 16, node.labels, node.disk_total, node.disk_free), KEY
        )
    for job in Job.objects.open().filter(cell=links.cell):
        publish(job, links)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__.split("\n")[0])
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or an address")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--transfers", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=21, help="how often each address is asked")
    parser.add_argument("--only", default="", help="addresses that contain this")
    args = parser.parse_args()
    with site(args.database):
        from django.conf import settings
        from django.contrib.auth import get_user_model
        from django.core.management import call_command
        from django.test import Client

        import fdist_site.urls  # noqa: F401  (finds the admin's pages)
        from nodes.models import Node

        settings.ALLOWED_HOSTS = ["testserver"]
        logging.getLogger("fdist.requests").setLevel(logging.WARNING)  # a line for each request is not what is asked
        if not Node.objects.exists():
            call_command("fill_record", nodes=args.nodes, jobs=args.jobs, transfers=args.transfers)
        user, _ = get_user_model().objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
        client = Client()
        client.force_login(user)
        register_nodes()
        print(f"{'queries':>7}  {'p50 ms':>7}  {'p95 ms':>7}  {'cpu ms':>7}  {'kB':>7}  address")
        slow = []
        for url in addresses():
            if args.only not in url:
                continue
            f = measure(client, url, args.times)
            mark = "" if f.status == 200 else f"  answered {f.status}"
            figures = f"{f.queries:7}  {f.p50:7.1f}  {f.p95:7.1f}  {f.cpu:7.1f}  {f.size / 1000:7.1f}"
            print(f"{figures}  {f.url}{mark}", flush=True)
            slow += [f.url] if f.p95 > LIMIT_MS else []
        print(f"{len(slow)} addresses with a p95 over {LIMIT_MS} ms{': ' if slow else ''}{', '.join(slow)}")


if __name__ == "__main__":
    main()
