"""Runs this server's agent."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from fdist_site import conf
from fdist_site.known_variables import misspelt
from fdist_site.variables import ConfError
from nodes.agent.command_line import worker_argv, worker_environment

# option, variable, what it says
OPTIONS = (
    ("name", "FDIST_NODE_NAME", "name of this node, unique in its cell: a-z, 0-9, . and -"),
    ("data-dir", "FDIST_DATA_DIR", "directory for the files; jobs' destinations are below it"),
    ("listen", "FDIST_LISTEN_HOST", "address that the shard server binds (default 127.0.0.1)"),
    ("advertise", "FDIST_ADVERTISE_HOST", "address under which other nodes reach it (default: that of --listen)"),
    ("port", "FDIST_SHARD_PORT", "port of the shard server (default 0: a free one)"),
    ("labels", "FDIST_LABELS", "key=value,... by which jobs can pick this node"),
    ("upload-rate", "FDIST_UPLOAD_RATE", "cap on sending to nodes, such as 400mbit or 2.5gbit (default: none)"),
    ("download-rate", "FDIST_DOWNLOAD_RATE", "cap on receiving, from nodes and the bucket together"),
    ("gcs-rate", "FDIST_GCS_RATE", "cap on reading from the bucket"),
    ("quota", "FDIST_QUOTA", "bytes for all jobs together, such as 800GB; beyond it jobs that ended make room"),
    ("reuse", "FDIST_REUSE", "take files that other jobs have here by link (default) or copy, or off"),
    ("upload-slots", "FDIST_UPLOAD_SLOTS", "shards sent at once, one of them waiting (default 6)"),
    ("download-slots", "FDIST_DOWNLOAD_SLOTS", "shards received from nodes at once, one of them waiting (default 6)"),
    ("gcs-slots", "FDIST_GCS_SLOTS", "shards read from the bucket at once, one of them waiting (default 3)"),
    ("metrics-listen", "FDIST_METRICS_LISTEN", "host:port for Prometheus (default: none); needs FDIST_METRICS_TOKEN"),
    ("enrolment", "FDIST_ENROLMENT", "key (default), or google: by the identity of its Compute Engine instance"),
    ("peer-tls", "FDIST_PEER_TLS", "off (default), on: serve by TLS, or required: and read from nobody without"),
    ("log-level", "FDIST_LOG_LEVEL", "debug, info, warning or error (default info)"),
    ("log-format", "FDIST_LOG_FORMAT", "line or json (default line)"),
)
EPILOG = """\
Each option can be given by the environment variable named with it; an option wins. Besides these an agent reads
REDIS_URL, FDIST_BROKER_URL, FDIST_CELL and FDIST_ENROLMENT_KEY (a secret, hence no option; `manage.py enrolment_key`
makes one), and STORAGE_EMULATOR_HOST for a bucket that is not Google's.

The command turns into a Celery worker that reads the queue of this node alone; a second process, the shard server,
sends shards to other nodes and ends with it. SIGTERM lets it leave in good order: it says goodbye, so that others stop
counting on it at once. What it has received stays, and is proven and used when it starts again. After SIGUSR2 it begins
nothing new and serves on, for as long as its machine is about to go.

Example:
  FDIST_ENROLMENT_KEY=fdk_... REDIS_URL=rediss://cache:6379/0 \\
    manage.py agent --name gpu-07 --data-dir /var/lib/fdist --listen 0.0.0.0 --advertise 10.0.0.7 --labels zone=a
"""


class Command(BaseCommand):
    """Checks the configuration, then replaces this process by the worker, which runs without Django."""

    help = "Run this server's agent: it receives the files of jobs, and passes them on to other nodes."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        for option, variable, description in OPTIONS:
            parser.add_argument(f"--{option}", metavar="VALUE", help=f"{description} [{variable}]")

    def handle(self, *args: Any, **options: Any) -> None:
        given = {
            variable: value
            for option, variable, _ in OPTIONS
            if (value := options[option.replace("-", "_")]) is not None
        }
        environment = worker_environment(os.environ, given)
        if environment.get("FDIST_DATA_DIR"):
            environment["FDIST_DATA_DIR"] = str(Path(environment["FDIST_DATA_DIR"]).resolve())
        for said in misspelt(environment):
            self.stderr.write(self.style.WARNING(said))
        try:
            config = conf.agent_config(environment)
        except ConfError as error:
            raise CommandError(str(error)) from error
        try:
            config.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"FDIST_DATA_DIR: cannot make {config.data_dir}: {error.strerror}") from error
        argv = worker_argv(config.name)
        self.stdout.flush()
        os.chdir(settings.BASE_DIR)
        os.execve(argv[0], argv, environment)  # noqa: S606  (no shell is wanted)
