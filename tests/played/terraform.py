"""terraform whose state is a promise: a plan by the real terraform that is taken as applied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.played.gcloud import World
from tests.played.installed import Installed, installed
from tests.played.programs import Answer, Call, Refused
from tests.terraform.environment import PROJECT
from tests.terraform.terraform import Terraform

FLAGS = {
    "init": {"-input", "-reconfigure", "-backend-config"},
    "apply": {"-var", "-var-file", "-auto-approve", "-input"},
    "destroy": {"-var", "-var-file", "-auto-approve", "-input"},
    "output": {"-json", "-raw"},
}
ASKS = "\n  Enter a value: "


class PlayedTerraform:
    """terraform: the real one, with the provider that has the schema alone. Called by a program of its name on PATH."""

    def __init__(self, terraform: Terraform, folder: Path, world: World) -> None:
        self.terraform = terraform
        self.world = world
        self.states: dict[tuple[str, str], Installed] = {}
        self.state: tuple[str, str] | None = None
        self.configuration = copy_of_the_configuration(terraform, folder)

    def __call__(self, call: Call) -> Answer:
        chdir, *words = call.arguments
        if not chdir.startswith("-chdir=") or (call.folder / chdir[7:]).resolve() != PROJECT / "terraform":
            raise Refused(f"{chdir}: our configuration is in the folder terraform")
        if not words or words[0] not in FLAGS:
            raise Refused(f"{words}: no command of those that are played")
        verb, flags = words[0], [word for word in words[1:] if word.startswith("-")]
        if unknown := [flag for flag in flags if flag.partition("=")[0] not in FLAGS[verb]]:
            raise Refused(f"{verb}: flag provided but not defined: {unknown[0]}")
        rest = [word for word in words[1:] if not word.startswith("-")]
        return {"init": self.init, "apply": self.apply, "destroy": self.destroy, "output": self.output}[verb](
            call, flags, rest
        )

    def init(self, call: Call, flags: list[str], rest: list[str]) -> Answer:
        told = dict(flag.split("=", 2)[1:] for flag in flags if flag.startswith("-backend-config="))
        if set(told) != {"bucket", "prefix"} or rest:
            raise Refused(f"init: the backend is told its bucket and its prefix, not {sorted(told)}")
        if told["bucket"] not in self.world.buckets:
            raise Refused(f"init: the bucket {told['bucket']} does not exist")
        self.state = (told["bucket"], told["prefix"])
        self.world.made = self.states.get(self.state)
        return Answer("Terraform has been successfully initialized!\n")

    def apply(self, call: Call, flags: list[str], rest: list[str]) -> Answer:
        planned = self.plan(call, flags)

        def done() -> Answer:
            assert self.state is not None
            self.world.made = self.states[self.state] = planned
            self.applied()
            return Answer("Apply complete!\n")

        return self.sure(flags, "Do you want to perform these actions?", done)

    def destroy(self, call: Call, flags: list[str], rest: list[str]) -> Answer:
        self.plan(call, flags)  # its variables have to be right, too

        def done() -> Answer:
            assert self.state is not None
            there = self.states.get(self.state)
            if there is not None and there.protected:
                return Answer(err=f"Error: {there.protected[0]}: deletion_protection is set\n", status=1)
            self.world.made = None
            self.states.pop(self.state, None)
            return Answer("Destroy complete!\n")

        return self.sure(flags, "Do you really want to destroy all resources?", done)

    def output(self, call: Call, flags: list[str], rest: list[str]) -> Answer:
        outputs = self.world.installed.outputs
        if rest[1:] or (rest and rest[0] not in outputs) or ("-raw" in flags and not rest):
            raise Refused(f"output: there is no output {rest}; there are {sorted(outputs)}")
        if not rest:
            return Answer(json.dumps(outputs))
        value = outputs[rest[0]]["value"]
        return Answer(str(value) if "-raw" in flags else json.dumps(value) + "\n")

    def sure(self, flags: list[str], question: str, done: Callable[[], Answer]) -> Answer:
        if "-auto-approve" in flags:
            return done()
        return Answer(
            question + ASKS,
            then=lambda reply: done() if reply == "yes" else Answer(err="Error: not confirmed\n", status=1),
        )

    def plan(self, call: Call, flags: list[str]) -> Installed:
        """What the real terraform would make; raises Refused with what it says against it."""
        if self.state is None:
            raise Refused("it has to be initialised first")
        given = [flag for flag in flags if flag.startswith(("-var=", "-var-file="))]
        variables = {
            name.removeprefix("TF_VAR_"): value
            for name, value in call.environment.items()
            if name.startswith("TF_VAR_")
        }
        arguments = ["plan", "-input=false", "-no-color", "-out=played.plan", *given]
        done = self.terraform.run(self.configuration, *arguments, variables=variables)
        if done.returncode:
            raise Refused(done.stderr)
        plan = json.loads(self.terraform.run(self.configuration, "show", "-json", "played.plan").stdout)
        return installed(plan["variables"]["project"]["value"], plan)

    def applied(self) -> None:
        """Something was applied."""


def copy_of_the_configuration(terraform: Terraform, folder: Path) -> Path:
    """A copy with its state on this machine, ready to be planned; what it reads of the documents beside it."""
    copy = folder / "terraform"
    shutil.copytree(PROJECT / "terraform", copy, ignore=shutil.ignore_patterns(".terraform*"))
    for read in ("grafana/alerts.yml", "runbook.md"):
        (folder / "docs" / read).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "docs" / read, folder / "docs" / read)
    (copy / "local_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    done = terraform.run(copy, "init", "-input=false", "-no-color")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return copy
