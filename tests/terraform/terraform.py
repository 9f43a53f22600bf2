"""Runs the real terraform against the schema-only provider, leaving nothing in the configuration's folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.terraform.environment import HERE, PROJECT, Environment, Unavailable, make

OLDEST = (1, 11)
LOCK = HERE / "requirements.lock"


def find_terraform() -> str:
    """The program; raises Unavailable when there is none or it is too old."""
    program = shutil.which("terraform")
    if program is None:
        raise Unavailable("terraform is not on PATH")
    answer = subprocess.run([program, "version", "-json"], capture_output=True, text=True, env=quiet_environment())
    version = str(json.loads(answer.stdout)["terraform_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise Unavailable(f"terraform {version} is older than {'.'.join(map(str, OLDEST))}")
    return program


def quiet_environment() -> dict[str, str]:
    """Ours, without what would let terraform look for newer versions or read somebody's own configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return kept | {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1"}


class Terraform:
    """Use as a context manager: the provider's process ends with it."""

    def __init__(self, work: Path) -> None:
        self.program = find_terraform()
        self.environment = make(LOCK)
        self.work = work
        self._provider: subprocess.Popen[str] | None = None
        self._reattach = ""

    def __enter__(self) -> Terraform:
        serve = HERE / "provider" / "serve.py"
        self._provider = subprocess.Popen(
            [self.environment.python, serve, schema_of(self.environment), PROJECT / "terraform"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._provider.stdout is not None
        self._reattach = self._provider.stdout.readline()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._provider is not None:
            self._provider.communicate(timeout=30)

    def run(
        self, folder: Path, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """One command in a folder; variables are given by the environment, so as to pass secrets as one would."""
        data = self.work / folder.resolve().as_posix().strip("/").replace("/", "-")
        environment = quiet_environment() | {
            "TF_DATA_DIR": str(data),
            "TF_REATTACH_PROVIDERS": self._reattach,
            **{f"TF_VAR_{name}": value for name, value in (variables or {}).items()},
        }
        return subprocess.run(
            [self.program, f"-chdir={folder}", *arguments], capture_output=True, text=True, env=environment, timeout=100
        )


def schema_of(environment: Environment) -> Path:
    """The provider's schema as JSON, read once from the package in the environment."""
    schema = environment.folder / "schema.json"
    if not schema.exists():
        (package,) = environment.packages().glob("cdktn_provider_google/_jsii/*.jsii.tgz")
        fresh = schema.with_suffix(".new")
        subprocess.run([sys.executable, HERE / "provider" / "schema.py", package, fresh], check=True)
        fresh.rename(schema)
    return schema
