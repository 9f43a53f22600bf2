"""Everything below /api/v1/."""

from django.contrib.auth.decorators import login_required
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from nodes.api import NodeViewSet
from nodes.api_kept import NodeKept
from nodes.api_keys import EnrolmentKeyViewSet
from nodes.chaos import NodeChaos
from transfers.api.cell import Cell
from transfers.api.health import Health, Readiness
from transfers.api.parts import JobEvents, JobFiles, JobNodes, JobShards, JobTransfers
from transfers.api.plan import Plan
from transfers.api.standing import StandingEvents, StandingNodes, StandingVersions, StandingViewSet
from transfers.api.streams import FleetStream, JobStream
from transfers.api.tracing import ShardTrace
from transfers.api.transfers import ActiveTransfers, Transfers
from transfers.api.views import JobViewSet, nothing_here
from transfers.api.webhooks import WebhookDeliveries, WebhookViewSet

router = DefaultRouter()
router.include_root_view = False
router.register("jobs", JobViewSet, basename="job")
router.register("nodes", NodeViewSet, basename="node")
router.register("enrolment-keys", EnrolmentKeyViewSet, basename="enrolment-key")
router.register("standing", StandingViewSet, basename="standing")
router.register("webhooks", WebhookViewSet, basename="webhook")

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(api_version="v1"), name="schema"),
    path("docs/", login_required(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="docs"),
    path("jobs/<job:pk>/nodes/", JobNodes.as_view(), name="job-nodes"),
    path("jobs/<job:pk>/files/", JobFiles.as_view(), name="job-files"),
    path("jobs/<job:pk>/shards/", JobShards.as_view(), name="job-shards"),
    path("jobs/<job:pk>/shards/<int:index>/trace/", ShardTrace.as_view(), name="shard-trace"),
    path("jobs/<job:pk>/events/", JobEvents.as_view(), name="job-history"),
    path("jobs/<job:pk>/transfers/", JobTransfers.as_view(), name="job-transfers"),
    path("jobs/<job:pk>/stream/", JobStream.as_view(), name="job-stream"),
    path("stream/", FleetStream.as_view(), name="fleet-stream"),
    path("standing/<str:name>/versions/", StandingVersions.as_view(), name="standing-versions"),
    path("standing/<str:name>/nodes/", StandingNodes.as_view(), name="standing-nodes"),
    path("standing/<str:name>/events/", StandingEvents.as_view(), name="standing-events"),
    path("webhooks/<int:pk>/deliveries/", WebhookDeliveries.as_view(), name="webhook-deliveries"),
    path("transfers/", Transfers.as_view(), name="transfers"),
    path("transfers/active/", ActiveTransfers.as_view(), name="active-transfers"),
    path("health/", Health.as_view(), name="health"),
    path("ready/", Readiness.as_view(), name="ready"),
    path("cell/", Cell.as_view(), name="cell"),
    path("nodes/<str:name>/kept/", NodeKept.as_view(), name="node-kept"),
    path("nodes/<str:name>/chaos/", NodeChaos.as_view(), name="node-chaos"),
    path("plan/", Plan.as_view(), name="plan"),
    path("", include(router.urls)),
    re_path(r"^.*/$", nothing_here),
]
