"""Serves the pages, the REST API and the admin."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from transfers.management.arguments import FdistCommand

GRACE_SECONDS = 5


class Command(FdistCommand):
    help = """Serve the pages, the REST API and the admin (uvicorn).

Pages:    /          jobs, and a live page of each
API:      /api/v1/   documented at /api/v1/docs/
Admin:    /admin/
Checks:   /healthz   this process answers;  /readyz   database and Redis answer as well

Make a user with `createsuperuser`, a token for programs with `token`. Behind a TLS proxy set FDIST_HTTPS=true,
FDIST_ALLOWED_HOSTS and FDIST_CSRF_TRUSTED_ORIGINS."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all")
        parser.add_argument("--port", type=int, default=8000, help="0 takes a free one, which the log names")
        parser.add_argument("--workers", type=int, default=1, help="processes; one serves some hundred open pages")

    def handle(self, *args: Any, **options: Any) -> None:
        import uvicorn

        uvicorn.run(
            "fdist_site.asgi:application",
            host=options["host"],
            port=options["port"],
            workers=options["workers"],
            lifespan="off",
            access_log=options["verbosity"] > 1,
            log_config=None,  # the settings' own logging
            timeout_graceful_shutdown=GRACE_SECONDS,  # live pages stay open for ever
            proxy_headers=True,
            server_header=False,
        )
