"""The cloud that the documents' commands see: an installation whose coordinator is that of the test's fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tests.played.gcloud import Gcloud, World
from tests.played.installed import Group
from tests.played.programs import Call, Play
from tests.played.terraform import PlayedTerraform
from tests.terraform.environment import PROJECT
from tests.terraform.terraform import Terraform

WORKER = "fdist-worker-x1"
BEFORE = "0.0.9-before"  # what workers run that no upgrade has reached
MY_PROJECT = "my-project"  # as the documents call it


class Fleet(Protocol):
    """What is needed of tests.docs.stage.DocumentsFleet."""

    release: str
    nodes: list[str]
    web_port: int
    password: str

    def start_agent(self, node: str) -> None: ...

    def wait_live(self, *nodes: str) -> None: ...

    def stop(self, name: str) -> None: ...


class DocumentsCloud(World):
    """One worker of it runs for real, beside the fleet's own nodes; bringing it up to date starts it anew.

    programs: what plays gcloud and terraform.
    """

    def __init__(self, terraform: Terraform, folder: Path, fleet: Fleet, metrics_token: str) -> None:
        super().__init__()
        self.fleet = fleet
        self.web_port = fleet.web_port
        self.secrets = {"fdist-metrics-token": metrics_token, "fdist-admin-password": fleet.password}
        self.running = self.with_worker = False
        self.terraform = PlayedTerraform(terraform, folder, self)
        self.terraform.applied = self.applied  # type: ignore[method-assign]
        self.programs: dict[str, Play] = {"gcloud": Gcloud(self), "terraform": self.terraform}

    def applied(self) -> None:
        if self.with_worker and not self.running:
            self.start(BEFORE)
            self.fleet.wait_live(WORKER)

    def start(self, release: str) -> None:
        self.fleet.release = release
        try:
            self.fleet.start_agent(WORKER)
        finally:
            self.fleet.release = ""
        self.running = True

    def instances(self, group: Group) -> list[str]:
        return [WORKER] if WORKER.startswith(group.base) else super().instances(group)

    def update(self, names: list[str]) -> None:
        if WORKER in names:
            self.fleet.stop(WORKER)
            self.start(str(self.installed.outputs["release"]["value"]))

    def begin(self, package: Path, deployed: bool, upgraded: bool) -> None:
        """For a page. deployed: the installation was there before its first command. upgraded: its worker counts."""
        self.buckets, self.made, self.replaced, self.with_worker = set(), None, [], False
        self.terraform.states, self.terraform.state = {}, None
        if deployed:
            bucket = f"{MY_PROJECT}-fdist-terraform"
            self.buckets.add(bucket)
            variables = [f"-var=project={MY_PROJECT}", f"-var=package={package}", "-auto-approve"]
            environment = {"TF_VAR_database_password": "of-the-documents-and-long-enough"}
            for words in (
                ["init", f"-backend-config=bucket={bucket}", "-backend-config=prefix=fdist"],
                ["apply", *variables],
            ):
                self.terraform(Call("terraform", ["-chdir=terraform", *words], PROJECT, environment))
        self.with_worker = upgraded
        if deployed:
            self.applied()

    def end(self) -> None:
        """The page's worker leaves, as does every trace of its installation."""
        if self.running:
            self.fleet.stop(WORKER)
            self.fleet.nodes.remove(WORKER)
            self.running = False
