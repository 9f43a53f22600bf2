"""terraform and gcloud, as programs that the operator has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfers.errors import FdistError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = PROJECT_ROOT / "terraform"
PROJECT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
NAME = re.compile(r"[a-z][a-z0-9-]{1,14}[a-z0-9]")


def say(text: str) -> None:
    print(text, flush=True)


class CloudError(FdistError):
    """Something of the cloud could not be done; the message says what and what to do."""


@dataclass(frozen=True)
class Target:
    """Which installation is meant. Raises CloudError, with the variable of `make`, for what can be no such."""

    project: str
    name: str = "fdist"

    def __post_init__(self) -> None:
        if not PROJECT_ID.fullmatch(self.project):
            raise CloudError(f'PROJECT: "{self.project}" is no project id; write for example PROJECT=my-project')
        if not NAME.fullmatch(self.name):
            raise CloudError(f'NAME: "{self.name}" has to be 3 to 16 lower-case letters, digits and hyphens')

    @property
    def state_bucket(self) -> str:
        return f"{self.project}-{self.name}-terraform"


def require(*programs: str) -> None:
    """Raises CloudError unless each is on PATH."""
    where = {"terraform": "https://developer.hashicorp.com/terraform/install", "gcloud": "https://cloud.google.com/sdk"}
    for program in programs:
        if shutil.which(program) is None:
            raise CloudError(f"{program} is not on PATH; see {where[program]}")


def ask(*argv: str) -> str:
    """What a command prints; raises CloudError with what it says when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise CloudError(f"`{' '.join(argv[:4])} ...` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


class Terraform:
    """The configuration with the state of one installation, which is kept in a bucket."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def init(self) -> None:
        backend = [f"-backend-config=bucket={self.target.state_bucket}", f"-backend-config=prefix={self.target.name}"]
        self._run("init", "-input=false", "-reconfigure", *backend)

    def change(self, verb: str, variables: Mapping[str, str], files: Sequence[Path], secret: str, sure: bool) -> None:
        """apply or destroy; terraform shows what it would do and asks, unless that is sure.

        secret: a new password for the database, in the environment since arguments are seen by everybody.
        """
        arguments = [f"-var-file={file.resolve()}" for file in files]
        arguments += [f"-var={name}={value}" for name, value in variables.items()]
        arguments += ["-auto-approve", "-input=false"] if sure else []
        self._run(verb, *arguments, environment={"TF_VAR_database_password": secret})

    def outputs(self) -> dict[str, Any]:
        found = json.loads(ask("terraform", f"-chdir={CONFIGURATION}", "output", "-json"))
        return {name: each["value"] for name, each in found.items()}

    def _run(self, verb: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        done = subprocess.run(
            ["terraform", f"-chdir={CONFIGURATION}", verb, *arguments], env={**os.environ, **(environment or {})}
        )
        if done.returncode:
            raise CloudError(f"terraform {verb} failed; what it says is above")


def make_state_bucket(target: Target, region: str) -> None:
    """The bucket with Terraform's state, unless it is there: private, and with older versions kept."""
    place = f"gs://{target.state_bucket}"
    known = subprocess.run(["gcloud", "storage", "buckets", "describe", place], capture_output=True)
    if known.returncode == 0:
        return
    ask(
        *("gcloud", "storage", "buckets", "create", place, f"--project={target.project}", f"--location={region}"),
        *("--uniform-bucket-level-access", "--public-access-prevention"),
    )
    ask("gcloud", "storage", "buckets", "update", place, "--versioning")
