"""The plan that stands beside a form, and what there is to choose from in it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import JsonResponse
from django.template.loader import render_to_string

from nodes.models import Node, NodeState
from transfers.foresight import Preview, unfit_sentence
from transfers.forms import DistributionForm

SHOWN_LABELS = 12
SHOWN_UNFIT = 5


def choices() -> dict[str, Any]:
    """How many nodes are live, and labels that they have."""
    live = Node.objects.filter(cell=settings.FDIST_CELL, state=NodeState.LIVE).values_list("labels", flat=True)
    labels = sorted({f"{key}={value}" for each in live for key, value in each.items()})
    return {"live_nodes": len(live), "labels": labels[:SHOWN_LABELS]}


def shown(found: Preview) -> dict[str, Any]:
    """What parts/plan.html shows."""
    plan = found.plan
    return {
        "layout": plan.layout,
        "files": len(plan.layout.files),
        "destination": plan.destination,
        "topology": plan.request.topology,
        "nodes": len(plan.facts),
        "needed": found.disk_needed,
        "least_free": found.tightest.disk_free if found.tightest else None,
        "forecasts": [
            {**vars(each), "amplification": each.bytes_from_bucket / plan.layout.size} for each in found.forecasts
        ],
        "rates": found.rates,
        "left_out": len(found.left_out),
        "unfit": [unfit_sentence(node) for node in found.unfit[:SHOWN_UNFIT]],
        "more_unfit": max(0, len(found.unfit) - SHOWN_UNFIT),
    }


def preview_answer(form: DistributionForm, plan: dict[str, Any] | None) -> JsonResponse:
    """{"plan": HTML or "", "errors": {field: sentence}}"""
    errors = {field: str(said[0]) for field, said in form.errors.items()}
    html = render_to_string("transfers/parts/plan.html", {"plan": plan}) if plan else ""
    return JsonResponse({"plan": html, "errors": errors})
