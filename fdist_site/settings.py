"""Settings of the coordinator and of the management commands, read from the environment and nowhere else.

Every variable is named where it is read; `docs/` lists them. The agents do not read this file: they run without
Django and take their settings from fdist_site.conf.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.templatetags.static import static
from environs import Env, validate

from fdist_site import conf, site_conf
from fdist_site.local_secret import local_secret
from transfers.logs import FORMATTERS

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()
AT_LEAST_0 = validate.Range(min=0)

# --- this installation
STATE_DIR: Path = site_conf.folder("FDIST_STATE_DIR", BASE_DIR / ".fdist")
DEBUG: bool = env.bool("FDIST_DEBUG", False)
SECRET_KEY: str = site_conf.secret("FDIST_SECRET_KEY") or local_secret(STATE_DIR / "secret_key")
ALLOWED_HOSTS: list[str] = site_conf.hosts("FDIST_ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS: list[str] = site_conf.origins("FDIST_CSRF_TRUSTED_ORIGINS")
HTTPS: bool = env.bool("FDIST_HTTPS", False)  # served behind TLS, ended here or at a proxy
TIME_ZONE: str = site_conf.time_zone("FDIST_TIME_ZONE", "UTC")
LOG_LEVEL: str = conf.log_level()

LOG_FORMAT: str = conf.log_format()

# --- metrics: see docs/operations.md
FDIST_METRICS_TOKEN: str = conf.metrics_token()
FDIST_METRICS = conf.metrics()  # of the coordinator; the web server has them at its own address
FDIST_LINK_RATE: int | None = conf.link_rate()

# --- what fdist speaks to
REDIS_URL: str = conf.redis_url()
FDIST_BROKER_URL: str = conf.broker_url()
FDIST_REDIS_LOGIN = conf.redis_login()
FDIST_CELL: str = conf.cell()
FDIST_IDENTITY = conf.identity_policy()  # whose machines may enrol by their identity; None for nobody's
FDIST_SIGNING_KEY: str = site_conf.secret("FDIST_SIGNING_KEY") or local_secret(STATE_DIR / "signing_key")
FDIST_CELERY_FACTORY = "fdist_site.celery.make_app"
TEST_FLEET: bool = env.bool("FDIST_TEST_FLEET", False)
GCS_PROJECT: str = conf.gcs_project()
STORAGE_ENDPOINT: str = conf.gcs_endpoint()  # the libraries read it from the environment; here it is checked

FDIST_STALLED_SECONDS: int = env.int("FDIST_STALLED_SECONDS", 120, validate=validate.Range(min=1))
FDIST_WEBHOOK_HTTP: bool = env.bool("FDIST_WEBHOOK_HTTP", False)
FDIST_WEBHOOK_PRIVATE: bool = env.bool("FDIST_WEBHOOK_PRIVATE", False)

INSTALLED_APPS = [
    "unfold",  # before the admin whose templates it replaces
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # fdist_site.urls finds the models' pages; commands need none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "knox",
    "rest_framework",
    "fdist_site",
    "nodes",
    "transfers",
]

MIDDLEWARE = [
    "fdist_site.requests.request_ids",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "fdist_site.security.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "fdist_site.urls"
ASGI_APPLICATION = "fdist_site.asgi.application"
WSGI_APPLICATION = "fdist_site.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "fdist_site.formats"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "fleet"
LOGOUT_REDIRECT_URL = "login"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.tz",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- the record
DATABASES = {"default": site_conf.database("DATABASE_URL", STATE_DIR / "fdist.sqlite3")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Writers queue for the lock at BEGIN instead of failing half-way, and readers never wait for them.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000;",
    }
else:
    DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)

# --- how long history is kept: transfers and jobs' events. 0 is for ever; jobs and their sums stay in any case
FDIST_HISTORY_DAYS: int = env.int("FDIST_HISTORY_DAYS", 90, validate=AT_LEAST_0)
FDIST_HISTORY_ROWS: int = env.int("FDIST_HISTORY_ROWS", 20_000_000, validate=AT_LEAST_0)  # of each of them

# --- people
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_AGE = int(timedelta(days=7).total_seconds())
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Django's checks of a deployment; ours say the same of the variable that is at fault (fdist_site.checks).
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # HSTS, of which ours asks for FDIST_HTTPS
    "security.W005",  # whether other names of the domain are served by TLS is not ours to say
    "security.W008",
    "security.W009",
    "security.W012",
    "security.W016",
    "security.W018",
    "security.W020",
    "security.W021",
]
if HTTPS:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # asked by load balancers, by plain HTTP
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds())

# --- static files: hashed and compressed once `collectstatic` has run, found in place before
STATIC_URL = "static/"
STATIC_ROOT: Path = site_conf.folder("FDIST_STATIC_ROOT", STATE_DIR / "static")
STATIC_COLLECTED = (STATIC_ROOT / "staticfiles.json").exists() and not DEBUG
WHITENOISE_USE_FINDERS = not STATIC_COLLECTED
WHITENOISE_AUTOREFRESH = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- REST
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_SCHEMA_CLASS": "transfers.api.schema.FdistSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.URLPathVersioning",
    "DEFAULT_VERSION": "v1",
    "ALLOWED_VERSIONS": ["v1"],
    "DEFAULT_PAGINATION_CLASS": "transfers.api.pagination.Pages",
    "PAGE_SIZE": 50,
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.UserRateThrottle",
        "rest_framework.throttling.ScopedRateThrottle",
    ],
    # A courtesy to other users and no defence: each process of the site counts for itself.
    "DEFAULT_THROTTLE_RATES": {
        "user": site_conf.request_rate("FDIST_API_RATE", "3000/min"),
        "submit": site_conf.request_rate("FDIST_SUBMIT_RATE", "60/min"),
        "plan": site_conf.request_rate("FDIST_PLAN_RATE", "240/min"),
    },
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "transfers.api.errors.FdistExceptionHandler",
    "EXCEPTION_FORMATTER_CLASS": "transfers.api.errors.ProblemFormatter",
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=90), "AUTH_HEADER_PREFIX": "Token"}
SPECTACULAR_SETTINGS = {
    "TITLE": "fdist",
    "DESCRIPTION": "Brings large files from Google Cloud Storage to fleets of servers.",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SCHEMA_PATH_PREFIX": r"/api/v[0-9]+",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PATH_CONVERTER_OVERRIDES": {"job": {"type": "string", "format": "uuid"}},
    "ENUM_NAME_OVERRIDES": {
        "ReachableEnum": "transfers.api.health.PART",
        "JobStateEnum": "transfers.models.JobState.choices",
        "NodeStateEnum": "nodes.models.NodeState.choices",
        "JobNodeStateEnum": "transfers.models.JobNodeState.choices",
    },
}

# --- the admin, in the pages' own blue
ADMIN_BLUES = {
    "50": "#eff5ff",
    "100": "#dbe8fe",
    "200": "#bfd7fe",
    "300": "#93bbfd",
    "400": "#6ea8ff",
    "500": "#3b82f6",
    "600": "#1b6ef3",
    "700": "#1a58d0",
    "800": "#1b49a8",
    "900": "#1c3f84",
    "950": "#152750",
}
UNFOLD = {
    "SITE_TITLE": "fdist",
    "SITE_HEADER": "fdist",
    "SITE_SUBHEADER": "file distribution",
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("fdist/icon.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("fdist/icon.svg")}],
    "SHOW_VIEW_ON_SITE": True,
    "COLORS": {"primary": ADMIN_BLUES},
}

# --- logs: one line an event, see transfers.logs
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {form: {"()": formatter} for form, formatter in FORMATTERS.items()},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
}
env.seal()
