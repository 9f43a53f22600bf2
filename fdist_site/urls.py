"""Every address of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path, register_converter

from fdist_site import health
from transfers import views
from transfers.api.addresses import JobIdConverter
from transfers.metrics.view import metrics

admin.autodiscover()
register_converter(JobIdConverter, "job")

urlpatterns = [
    path("", views.fleet, name="fleet"),
    path("events/", views.fleet_events, name="fleet-events"),
    path("events/standing/", views.standings_events, name="standings-events"),
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/new/", views.new_job, name="new-job"),
    path("jobs/new/plan/", views.preview_job, name="preview-job"),
    path("jobs/new/paths/", views.complete, name="complete-path"),
    path("jobs/<job:pk>/", views.job, name="job"),
    path("jobs/<job:pk>/events/", views.job_events, name="job-events"),
    path("jobs/<job:pk>/<slug:act>/", views.job_act, name="job-act"),
    path("nodes/", views.nodes, name="nodes"),
    path("nodes/<str:name>/", views.node, name="node"),
    path("nodes/<str:name>/events/", views.node_events, name="node-events"),
    path("nodes/<str:name>/<slug:act>/", views.node_act, name="node-act"),
    path("standing/", views.standings, name="standings"),
    path("standing/new/", views.new_standing, name="new-standing"),
    path("standing/new/plan/", views.preview_standing, name="preview-standing"),
    path("standing/<str:name>/", views.standing, name="standing"),
    path("standing/<str:name>/change/", views.change_standing, name="change-standing"),
    path("standing/<str:name>/change/plan/", views.preview_change, name="preview-change"),
    path("standing/<str:name>/events/", views.standing_events, name="standing-events"),
    path("standing/<str:name>/<slug:act>/", views.standing_act, name="standing-act"),
    path("login/", auth_views.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("api/<str:version>/", include("transfers.api.urls")),
    path("admin/", admin.site.urls),
    path("metrics", metrics, name="metrics"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
]
