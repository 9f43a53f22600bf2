"""The coordinator's connections, made on first use from what the settings say.

The edges (commands, views, API) ask here and pass on what they got; nothing below them reads a setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, cached_property
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from django.utils.module_loading import import_string
from redis.backoff import NoBackoff
from redis.retry import Retry

from transfers.errors import PlanError
from transfers.nudge import nudge
from transfers.redis_login import Login, connection_options

if TYPE_CHECKING:
    from celery import Celery
    from google.cloud.storage import Client

    from transfers.scheduler import Scheduler

CONNECT_TIMEOUT = 5
ANSWER_TIMEOUT = 15


class Links:
    """One cell's Redis, broker and bucket. Safe to share between threads: each part is, once made."""

    def __init__(
        self, redis_url: str, broker_url: str, cell: str, gcs_project: str = "", redis_login: Login = "url"
    ) -> None:
        self.redis_url = redis_url
        self.broker_url = broker_url
        self.cell = cell
        self.gcs_project = gcs_project
        self.redis_login = redis_login

    @cached_property
    def redis(self) -> redis.Redis:
        """A client that never repeats a call by itself: a script that timed out may have run."""
        return redis.Redis.from_url(
            self.redis_url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            health_check_interval=15,
            **connection_options(self.redis_login),
        )

    @cached_property
    def scheduler(self) -> Scheduler:
        from transfers.scheduler import Scheduler

        return Scheduler(self.redis, self.cell)

    @cached_property
    def celery(self) -> Celery:
        make_app = import_string(settings.FDIST_CELERY_FACTORY)
        app: Celery = make_app(self.broker_url)
        return app

    @cached_property
    def bucket(self) -> Client:
        """Of the bucket's service, or of the emulator that STORAGE_EMULATOR_HOST names.

        Raises PlanError("source") when there is no login for it.
        """
        from google.auth.exceptions import GoogleAuthError  # half a second of imports that most commands do without

        from transfers.dataplane.gcs_session import open_session

        try:
            return open_session(self.gcs_project or None).client()
        except GoogleAuthError as error:
            raise PlanError("source", f"the coordinator has no login for the bucket: {error}") from error

    def nudge(self, job: str, nodes: Iterable[str]) -> int:
        return nudge(self.celery, job, nodes)


@cache
def _links(redis_url: str, broker_url: str, cell: str, gcs_project: str, redis_login: Login) -> Links:
    return Links(redis_url, broker_url, cell, gcs_project, redis_login)


def get_links() -> Links:
    """The links of this installation; one for the whole process."""
    return _links(
        settings.REDIS_URL,
        settings.FDIST_BROKER_URL,
        settings.FDIST_CELL,
        settings.GCS_PROJECT,
        settings.FDIST_REDIS_LOGIN,
    )
