"""Every variable of ours by its name, so that one which is misspelt is told and not passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

PREFIX = "FDIST_"
# Those of docs/settings.md; a test compares them with what the code reads.
VARIABLES = frozenset(
    [
        "FDIST_ADVERTISE_HOST",
        "FDIST_ALLOWED_HOSTS",
        "FDIST_API_RATE",
        "FDIST_BROKER_URL",
        "FDIST_CELL",
        "FDIST_CONFIG",
        "FDIST_COORDINATOR_KEY",
        "FDIST_CSRF_TRUSTED_ORIGINS",
        "FDIST_DATA_DIR",
        "FDIST_DEBUG",
        "FDIST_DOWNLOAD_RATE",
        "FDIST_DOWNLOAD_SLOTS",
        "FDIST_ENROLMENT",
        "FDIST_ENROLMENT_KEY",
        "FDIST_GCS_PROJECT",
        "FDIST_GCS_RATE",
        "FDIST_GCS_SERVER",
        "FDIST_GCS_SLOTS",
        "FDIST_HEARTBEAT_SECONDS",
        "FDIST_HISTORY_DAYS",
        "FDIST_HISTORY_ROWS",
        "FDIST_HTTPS",
        "FDIST_IDENTITY_ACCOUNTS",
        "FDIST_IDENTITY_CERTS_URL",
        "FDIST_IDENTITY_PROJECTS",
        "FDIST_IDENTITY_ZONES",
        "FDIST_IDLE_SECONDS",
        "FDIST_LABELS",
        "FDIST_LINK_RATE",
        "FDIST_LISTEN_HOST",
        "FDIST_LOG_FORMAT",
        "FDIST_LOG_LEVEL",
        "FDIST_METRICS_LISTEN",
        "FDIST_METRICS_TOKEN",
        "FDIST_NODE_NAME",
        "FDIST_PEER_TLS",
        "FDIST_PLAN_RATE",
        "FDIST_QUOTA",
        "FDIST_REDIS_LOGIN",
        "FDIST_REDIS_SERVER",
        "FDIST_RELEASE",
        "FDIST_REUSE",
        "FDIST_SECRET_KEY",
        "FDIST_SHARD_PORT",
        "FDIST_SIGNING_KEY",
        "FDIST_STALLED_SECONDS",
        "FDIST_STATE_DIR",
        "FDIST_STATIC_ROOT",
        "FDIST_SUBMIT_RATE",
        "FDIST_TEST_FLEET",
        "FDIST_TIME_ZONE",
        "FDIST_TOKEN",
        "FDIST_UPLOAD_RATE",
        "FDIST_UPLOAD_SLOTS",
        "FDIST_URL",
        "FDIST_WEBHOOK_HTTP",
        "FDIST_WEBHOOK_PRIVATE",
    ]
)
# Read by the scripts in terraform/scripts, which are on the same machines.
OF_SCRIPTS = frozenset(
    [
        "FDIST_ACCOUNT",
        "FDIST_LEAVE_RESERVE",
        "FDIST_LEAVE_SECONDS",
        "FDIST_PATIENCE",
        "FDIST_REDIS_ACCOUNT",
        "FDIST_REDIS_PORT",
        "FDIST_ROOT",
        "FDIST_SECRETS_ENDPOINT",
        "FDIST_STORAGE_ENDPOINT",
    ]
)


def misspelt(environment: Iterable[str]) -> Iterator[str]:
    """A sentence for each variable that begins as ours and that nothing reads."""
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in VARIABLES | OF_SCRIPTS:
            like = get_close_matches(name, VARIABLES, n=1, cutoff=0.85)
            yield f"{name}: is read by nothing here{f'; {like[0]} is like it' if like else ''}."
