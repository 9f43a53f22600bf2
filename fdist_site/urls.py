"""Every address of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

from fdist_site import health
from transfers import views
from transfers.metrics.view import metrics

admin.autodiscover()

urlpatterns = [
    path("", views.jobs, name="jobs"),
    path("jobs/<uuid:pk>/", views.job, name="job"),
    path("jobs/<uuid:pk>/events/", views.job_events, name="job-events"),
    path("jobs/<uuid:pk>/<slug:act>/", views.job_act, name="job-act"),
    path("login/", auth_views.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("api/<str:version>/", include("transfers.api.urls")),
    path("admin/", admin.site.urls),
    path("metrics", metrics, name="metrics"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
]
