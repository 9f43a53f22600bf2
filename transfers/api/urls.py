"""Everything below /api/v1/."""

from django.contrib.auth.decorators import login_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from nodes.api import NodeViewSet
from transfers.api.parts import JobFiles, JobNodes, JobTransfers
from transfers.api.views import JobViewSet

router = DefaultRouter()
router.include_root_view = False
router.register("jobs", JobViewSet, basename="job")
router.register("nodes", NodeViewSet, basename="node")

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(api_version="v1"), name="schema"),
    path("docs/", login_required(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="docs"),
    path("jobs/<uuid:pk>/nodes/", JobNodes.as_view(), name="job-nodes"),
    path("jobs/<uuid:pk>/files/", JobFiles.as_view(), name="job-files"),
    path("jobs/<uuid:pk>/transfers/", JobTransfers.as_view(), name="job-transfers"),
    path("", include(router.urls)),
]
