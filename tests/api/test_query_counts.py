"""With more rows a page, a list or a detail makes no more queries, and history is read along an index."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import fdist_site.urls  # noqa: F401  (finds the admin's pages)
from nodes.models import Node
from tests.bench.pages import addresses
from transfers.admin import base
from transfers.links import Links
from transfers.models import Job, JobNode, Shard, Transfer

pytestmark = pytest.mark.django_db
MOST_QUERIES = 8
MOST_OF_A_NODE = 10  # its page gathers what it holds, moved, did and does from tables of their own
KEY = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|synthetic-\d+|/\d+/")


@pytest.fixture
def browser(client: Client, admin: AbstractUser, links: Links) -> Client:
    cache.clear()  # of the requests that were counted for throttling
    client.force_login(admin)
    return client


def fill(**sizes: Any) -> None:
    call_command("fill_record", stdout=StringIO(), **sizes)


def queries(browser: Client) -> dict[str, int]:
    """How many each address makes; keys in an address are left out of its name."""
    found = {}
    for url in addresses():
        with CaptureQueriesContext(connection) as caught:
            assert browser.get(url).status_code == 200, url
        name = KEY.sub("KEY", url)
        found[name] = max(len(caught), found.get(name, 0))
    return found


def test_pages_and_lists_make_no_more_queries_with_more_rows(browser: Client) -> None:
    fill(nodes=3, jobs=2, transfers=20)
    few = queries(browser)
    fill(nodes=40, jobs=30, transfers=2000, add=True, seed=2)
    many = queries(browser)
    assert many["/nodes/KEY/"] <= MOST_OF_A_NODE
    assert max(count for url, count in many.items() if url != "/nodes/KEY/") <= MOST_QUERIES, many
    # One row in the admin follows its keys one by one, and some have none; an empty list is counted, and not read.
    assert {
        url: count for url, count in many.items() if count > few.get(url, MOST_QUERIES) + 1 and "/change/" not in url
    } == {}


@pytest.mark.parametrize("asked", ["", "?outcome=corrupt", "?source=bucket", "?node=synthetic-00001"])
def test_history_is_walked_along_an_index_and_not_sorted(browser: Client, asked: str) -> None:
    fill(nodes=3, jobs=2, transfers=20)
    with CaptureQueriesContext(connection) as caught:
        browser.get(f"/api/v1/transfers/{asked}")
    statement = next(q["sql"] for q in caught if "ORDER BY" in q["sql"] and "transfers_transfer" in q["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{statement}")
        plan = "\n".join(str(row) for row in cursor.fetchall())
    if connection.vendor == "sqlite":  # elsewhere a plan for a handful of rows says nothing about many
        assert "USING INDEX transfer_" in plan and "TEMP B-TREE" not in plan, plan


def test_the_admin_counts_no_further_than_it_pages(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(nodes=4, jobs=2, transfers=200)
    monkeypatch.setattr(base, "MOST_COUNTED", 120)
    page = browser.get(reverse("admin:transfers_transfer_changelist"), {"p": "5"})
    assert page.context["cl"].result_count == 120
    assert len(page.context["cl"].result_list) == 20
    assert browser.get(reverse("admin:transfers_transfer_changelist"), {"p": "9"}).status_code in (200, 302)


def test_the_admin_finds_transfers_by_node_and_by_job(browser: Client) -> None:
    fill(nodes=4, jobs=2, transfers=60)
    job, node = Job.objects.latest("created_at"), Node.objects.get(name="synthetic-00001")

    def found(text: str) -> set[int]:
        page = browser.get(reverse("admin:transfers_transfer_changelist"), {"q": text, "all": ""})
        return {row.pk for row in page.context["cl"].queryset}

    of_node = Transfer.objects.filter(node=node) | Transfer.objects.filter(source=node)
    assert found(node.name) == set(of_node.values_list("pk", flat=True)) != set()
    assert found(job.id.hex) == set(job.transfers.values_list("pk", flat=True)) != set()
    assert found("nobody") == set()


def test_the_same_seed_fills_in_the_same_record_and_sums_agree_with_transfers(browser: Client) -> None:
    fill(nodes=5, jobs=3, transfers=100, seed=7)
    rows = list(Transfer.objects.order_by("id").values_list("node__name", "source__name", "shard", "outcome", "bytes"))
    for job in Job.objects.all():
        of_nodes = job.job_nodes.all()
        moved = list(job.transfers.values_list("source", "bytes"))
        assert job.bytes_from_gcs == sum(b for source, b in moved if source is None)
        assert job.bytes_from_gcs == sum(row.bytes_from_gcs for row in of_nodes)
        assert job.bytes_from_peers == sum(b for source, b in moved if source is not None)
        assert job.shard_count == job.shards.count()
        assert job.is_open or job.finished_at is not None
    for model in (Transfer, JobNode, Shard, Job, Node):
        model.objects.all().delete()  # type: ignore[attr-defined]
    fill(nodes=5, jobs=3, transfers=100, seed=7)
    again = Transfer.objects.order_by("id").values_list("node__name", "source__name", "shard", "outcome", "bytes")
    assert list(again) == rows


def test_a_record_that_is_in_use_is_not_filled_unless_told(browser: Client) -> None:
    fill(nodes=2, jobs=1, transfers=4)
    with pytest.raises(CommandError, match="--add"):
        fill(nodes=2, jobs=1, transfers=4)
    with pytest.raises(CommandError, match="--nodes: 1 is less than 2"):
        fill(nodes=1)
    assert Job.objects.count() == 1
