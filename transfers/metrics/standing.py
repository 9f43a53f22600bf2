"""Standing distributions at the moment of a scrape, from the record: a series for each, as there is one for a model."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from transfers.links import Links
from transfers.models import Standing
from transfers.standing.decide import NO_NODE
from transfers.standing.report import state_of, with_figures


def figures(links: Links) -> Iterator[Metric]:
    nodes = GaugeMetricFamily(
        "fdist_standing_nodes", "Nodes that are up and are to have it.", labels=["standing", "use"]
    )
    version = GaugeMetricFamily(
        "fdist_standing_version", "Number of a version, 0 for none.", labels=["standing", "which"]
    )
    overdue = GaugeMetricFamily(
        "fdist_standing_check_overdue_seconds", "Since its source was to be looked at.", labels=["standing"]
    )
    failed = GaugeMetricFamily("fdist_standing_failed", "1 while its newest version failed.", labels=["standing"])
    trouble = GaugeMetricFamily(
        "fdist_standing_trouble", "1 while its source cannot be a version.", labels=["standing"]
    )
    now = timezone.now()
    for each in with_figures(Standing.objects.filter(cell=links.cell).select_related("wanted")):
        row: dict[str, int] = vars(each)  # with what the query adds
        nodes.add_metric([each.name, "current"], row["nodes_current"])
        nodes.add_metric([each.name, "behind"], row["nodes_behind"])
        version.add_metric([each.name, "current"], each.current_number or 0)
        version.add_metric([each.name, "newest"], row["newest_version"])
        if not each.paused:
            overdue.add_metric([each.name], max(0.0, (now - each.check_at).total_seconds()))
        failed.add_metric([each.name], state_of(each) == "failed")
        trouble.add_metric([each.name], each.trouble not in ("", NO_NODE))
    yield from (nodes, version, overdue, failed, trouble)
