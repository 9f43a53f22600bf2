"""gcloud, as far as our commands use it: its own sub-commands and flags, and the names of one installation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.played.installed import Group, Installed
from tests.played.programs import Answer, Call, Refused
from tests.played.surface import FILE, real_gcloud


@dataclass(frozen=True)
class Told:
    """A command line that gcloud takes. flags: without `--`; those that take no value have the value ""."""

    command: str
    positional: list[str]
    flags: Mapping[str, str]


@cache
def surface() -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["commands"]
    return known


def understand(arguments: list[str]) -> Told:
    """Read a command line by gcloud's rules; raises Refused for what it would not take."""
    depth = next((n for n in range(len(arguments), 0, -1) if " ".join(arguments[:n]) in surface()), 0)
    if not depth:
        raise Refused(f"no command {' '.join(arguments[:4])!r} of those in tests/played/surface.py")
    command, left = " ".join(arguments[:depth]), arguments[depth:]
    known = surface()[command]
    positional: list[str] = []
    flags: dict[str, str] = {}
    while left:
        word = left.pop(0)
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        name, has_value, value = word.partition("=")
        if name not in known["flags"]:
            raise Refused(f"{command}: unrecognized arguments: {name}")
        flag = known["flags"][name]
        if not flag["takes"] and has_value:
            raise Refused(f"{command}: {name} takes no value")
        if flag["takes"] and not has_value:
            if not left:
                raise Refused(f"{command}: argument {name}: expected one argument")
            value = left.pop(0)
        if value not in flag.get("choices", [value]):
            raise Refused(f"{command}: argument {name}: invalid choice: {value!r}")
        flags[name.lstrip("-")] = value
    needed = [each["name"] for each in known["positional"] if each["required"]]
    if len(positional) < len(needed):
        raise Refused(f"{command}: argument {needed[len(positional)]} must be specified")
    if len(positional) > len(known["positional"]) and not any(each["many"] for each in known["positional"]):
        raise Refused(f"{command}: unrecognized arguments: {' '.join(positional[len(known['positional']) :])}")
    if missing := [name for name, each in known["flags"].items() if each.get("required") and name[2:] not in flags]:
        raise Refused(f"{command}: argument {missing[0]} must be specified")
    return Told(command, positional, flags)


@cache
def refused_by_the_real_one(arguments: tuple[str, ...]) -> str:
    """What Google's own parser has against a command line, where it is installed; it has no account and no network."""
    program = real_gcloud()
    if program is None:
        return ""
    alone = {
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": "9",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDSDK_", "GOOGLE_"))}
    with tempfile.TemporaryDirectory() as nobody:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=kept | alone | {"CLOUDSDK_CONFIG": nobody},
            stdin=subprocess.DEVNULL,
        )
    return done.stderr.strip() if done.returncode == 2 else ""  # 2 is argparse's; without an account it ends with 1


class Gcloud:
    """The program. world: what it sees of Google Cloud."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.does: dict[str, Callable[[Told], Answer]] = {
            "auth application-default login": self.log_in,
            "auth login": self.log_in,
            "compute instance-groups managed list-instances": self.list_instances,
            "compute instance-groups managed rolling-action replace": self.replace,
            "compute instance-groups managed update-instances": self.update_instances,
            "compute ssh": self.ssh,
            "compute start-iap-tunnel": self.tunnel,
            "secrets versions access": self.access_secret,
            "sql instances clone": self.clone,
            "storage buckets create": self.create_bucket,
            "storage buckets describe": self.describe_bucket,
            "storage buckets update": self.describe_bucket,
        }

    def __call__(self, call: Call) -> Answer:
        told = understand(call.arguments)
        if not told.command.startswith(("auth", "storage")):
            self.check_project(told)
        answer = self.does[told.command](told)
        with_one_port = (re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", word) for word in call.arguments)
        if said := refused_by_the_real_one(tuple(with_one_port)):
            raise Refused(said)
        return answer

    def check_project(self, told: Told) -> None:
        project = self.world.installed.project
        if "project" not in told.flags:
            raise Refused(f"{told.command}: --project is not given, and no document sets one up")
        if told.flags["project"] != project:
            raise Refused(f"{told.command}: the installation is in {project}, not in {told.flags['project']}")

    def log_in(self, told: Told) -> Answer:
        return Answer(err="You are now logged in.\n")

    def group(self, told: Told) -> Group:
        name = told.positional[0]
        found = self.world.installed.groups.get(name)
        if found is None:
            raise Refused(f"{told.command}: there is no group {name}; there are {sorted(self.world.installed.groups)}")
        self.check_place(told, found)
        return found

    def check_place(self, told: Told, group: Group) -> None:
        kind, _, place = group.where.partition("=")
        if told.flags.get(kind) != place:
            raise Refused(f"{told.command}: {group.name} is in --{group.where}")

    def instance(self, told: Told) -> Group:
        """The group of the instance that is named; raises Refused when there is none."""
        name = told.positional[0].rpartition("@")[2]
        for group in self.world.installed.groups.values():
            if name in self.world.instances(group):
                zone = told.flags.get("zone", "")
                if not (f"zone={zone}" == group.where or f"region={zone.rpartition('-')[0]}" == group.where):
                    raise Refused(f"{told.command}: {name} is not in --zone={zone}")
                return group
        raise Refused(f"{told.command}: there is no instance {name}")

    def list_instances(self, told: Told) -> Answer:
        group = self.group(told)
        return Answer("".join(f"{name}\n" for name in self.world.instances(group)))

    def replace(self, told: Told) -> Answer:
        self.world.replaced.append(self.group(told).name)
        return Answer()

    def update_instances(self, told: Told) -> Answer:
        group = self.group(told)
        names = [name for name in told.flags.get("instances", "").split(",") if name]
        if not names and "all-instances" not in told.flags:
            raise Refused(f"{told.command}: --instances or --all-instances must be specified")
        if unknown := [name for name in names if name not in self.world.instances(group)]:
            raise Refused(f"{told.command}: {group.name} has no instance {unknown[0]}")
        self.world.update(names or self.world.instances(group))
        return Answer()

    def ssh(self, told: Told) -> Answer:
        self.instance(told)
        if "tunnel-through-iap" not in told.flags:
            raise Refused(f"{told.command}: the machine has no public address; --tunnel-through-iap is missing")
        return Answer()

    def tunnel(self, told: Told) -> Answer:
        self.instance(told)
        if told.positional[1] != "8000":
            raise Refused(f"{told.command}: nothing listens at port {told.positional[1]} of the coordinator")
        port = told.flags.get("local-host-port", "127.0.0.1:0").rpartition(":")[2]
        return Answer(carry=(int(port), self.world.web_port))

    def access_secret(self, told: Told) -> Answer:
        name = told.flags.get("secret", "")
        if name not in self.world.installed.secrets:
            raise Refused(f"{told.command}: there is no secret {name!r}; there are {sorted(self.world.secrets)}")
        if name not in self.world.secrets:
            raise Refused(f"{told.command}: the secret {name} has no version yet")
        return Answer(self.world.secrets[name])

    def clone(self, told: Told) -> Answer:
        source, destination = told.positional
        if source not in self.world.installed.databases:
            raise Refused(f"{told.command}: there is no instance {source}")
        if destination in self.world.installed.databases:
            raise Refused(f"{told.command}: {destination} is there already")
        return Answer(err=f"Cloning Cloud SQL instance...done. Created [{destination}].\n")

    def bucket(self, told: Told) -> str:
        place = told.positional[0]
        if not place.startswith("gs://"):
            raise Refused(f"{told.command}: {place} is no gs:// address")
        return place.removeprefix("gs://").rstrip("/")

    def create_bucket(self, told: Told) -> Answer:
        if "project" not in told.flags:
            raise Refused(f"{told.command}: --project is not given, and no document sets one up")
        self.world.buckets.add(self.bucket(told))
        return Answer()

    def describe_bucket(self, told: Told) -> Answer:
        name = self.bucket(told)
        if name not in self.world.buckets | self.world.made_buckets:
            return Answer(err=f"ERROR: gs://{name} not found: 404.\n", status=1)
        return Answer(f"name: {name}\n")


class World:
    """As much of Google Cloud as the program sees. web_port: where the coordinator's UI is reached on this machine.

    buckets: those that a command made. secrets: the values of those that the coordinator has made. Subclasses say which
    instances there are and what becomes of those that are brought up to date.
    """

    web_port = 0

    def __init__(self) -> None:
        self.buckets: set[str] = set()
        self.secrets: dict[str, str] = {}
        self.replaced: list[str] = []
        self.made: Installed | None = None

    @property
    def installed(self) -> Installed:
        if self.made is None:
            raise Refused("nothing is deployed")
        return self.made

    @property
    def made_buckets(self) -> frozenset[str]:
        return self.made.buckets if self.made else frozenset()

    def instances(self, group: Group) -> list[str]:
        return [f"{group.base}-x1"]

    def update(self, names: list[str]) -> None:
        """Bring instances up to date."""
