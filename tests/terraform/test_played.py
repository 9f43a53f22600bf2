"""The stand-ins of cloud and machine refuse what the real ones would, and know only the names of our installation."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.played import machine, surface
from tests.played.gcloud import Gcloud, World, understand
from tests.played.installed import units
from tests.played.programs import Answer, Call, Programs, Refused
from tests.played.terraform import PlayedTerraform
from tests.terraform.environment import PROJECT
from tests.terraform.terraform import Terraform

PACKAGE = "fdist-0.1.0-0123456789ab.tar.gz"


def call(line: str) -> Call:
    program, *arguments = line.split()
    return Call(program, arguments, PROJECT, {"TF_VAR_database_password": "a-password-that-is-long-enough-for-us"})


@pytest.fixture(scope="module")
def cloud(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> tuple[Gcloud, PlayedTerraform]:
    """With the installation of `make deploy PROJECT=my-project`."""
    world = World()
    world.secrets = {"fdist-metrics-token": "a-token"}
    played = PlayedTerraform(terraform, tmp_path_factory.mktemp("played"), world)
    gcloud = Gcloud(world)
    archive = tmp_path_factory.mktemp("package") / PACKAGE
    archive.touch()
    gcloud(call("gcloud storage buckets create gs://state --project=my-project"))
    played(call("terraform -chdir=terraform init -backend-config=bucket=state -backend-config=prefix=fdist"))
    asked = played(call(f"terraform -chdir=terraform apply -var=project=my-project -var=package={archive}"))
    assert asked.then is not None and asked.then("no").status == 1
    assert asked.then("yes").status == 0
    return gcloud, played


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("gcloud sql instances klone fdist b", "no command"),
        ("gcloud sql instances clone fdist --project=my-project", "DESTINATION must be specified"),
        ("gcloud sql instances clone fdist b --point-in-tim=x --project=my-project", "unrecognized"),
        ("gcloud sql instances clone fdist b c --project=my-project", "unrecognized"),
        ("gcloud sql instances clone fdist b", "--project is not given"),
        ("gcloud sql instances clone other b --project=my-project", "no instance other"),
        ("gcloud secrets versions access latest --secret=fdist-none --project=my-project", "no secret"),
        ("gcloud secrets versions access latest --secret=fdist-metrics-token --project=another", "is in my-project"),
        ("gcloud compute ssh fdist-coordinator-x1 --project=my-project --zone=us-central1-b", "no public address"),
        ("gcloud compute ssh fdist-x1 --tunnel-through-iap --project=my-project --zone=us-central1-b", "no instance"),
        (
            "gcloud compute instance-groups managed rolling-action replace fdist-coordinator --project=my-project",
            "is in --zone=us-central1-b",
        ),
        (
            "gcloud compute instance-groups managed update-instances fdist-workers --project=my-project "
            "--region=us-central1 --instances=fdist-worker-9 --minimal-action=refresh",
            "no instance fdist-worker-9",
        ),
        (
            "gcloud compute instance-groups managed update-instances fdist-workers --project=my-project "
            "--region=us-central1 --all-instances --minimal-action=polish",
            "invalid choice",
        ),
    ],
)
def test_gcloud_refuses(line: str, said: str, cloud: tuple[Gcloud, PlayedTerraform]) -> None:
    with pytest.raises(Refused, match=said):
        cloud[0](call(line))


@pytest.mark.parametrize(
    "line",
    [
        "gcloud sql instances clone fdist copy --point-in-time=2026-11-28T09:00:00Z --project=my-project",
        "gcloud compute ssh me@fdist-coordinator-x1 --tunnel-through-iap --project my-project --zone us-central1-b",
    ],
)
def test_gcloud_takes(line: str, cloud: tuple[Gcloud, PlayedTerraform]) -> None:
    assert cloud[0](call(line)).status == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("terraform -chdir=elsewhere output", "in the folder terraform"),
        ("terraform -chdir=terraform aply", "no command"),
        ("terraform -chdir=terraform output -rav ssh", "not defined"),
        ("terraform -chdir=terraform output -raw shh", "no output"),
        ("terraform -chdir=terraform init -backend-config=bucket=none -backend-config=prefix=x", "does not exist"),
        ("terraform -chdir=terraform apply -var=projekt=my-project", "projekt"),
        ("terraform -chdir=terraform apply -var=project=my-project -var=num_servers=none -var=package=x", "number"),
    ],
)
def test_terraform_refuses(line: str, said: str, cloud: tuple[Gcloud, PlayedTerraform]) -> None:
    with pytest.raises(Refused, match=said):
        cloud[1](call(line))


def test_what_is_protected_is_not_destroyed(cloud: tuple[Gcloud, PlayedTerraform]) -> None:
    line = f"terraform -chdir=terraform destroy -var=project=my-project -var=package={PACKAGE} -auto-approve"
    refused = cloud[1](call(line))
    assert refused.status == 1 and "deletion_protection" in refused.err


def test_the_service_manager_knows_the_units_of_the_start_up_scripts_alone() -> None:
    assert {"fdist-agent", "fdist-web", "fdist-planner"} <= units()
    assert machine.systemctl(call("systemctl status fdist-planner fdist-agent.service")).status == 0
    assert machine.journalctl(call("journalctl -u fdist-agent --since -15m")).status == 0
    for line in (
        "systemctl status fdist-plan",
        "systemctl stat fdist-planner",
        "systemctl status --loud fdist-planner",
        "systemctl status",
    ):
        with pytest.raises(Refused):
            machine.systemctl(call(line))
    for line in ("journalctl -u fdist-agnt", "journalctl -u fdist-agent --sinse -15m", "journalctl --unit=sshd -f"):
        with pytest.raises(Refused):
            machine.journalctl(call(line))


def test_commands_run_as_the_coordinator_s_unit_does(tmp_path: Path) -> None:
    play = machine.systemd_run(tmp_path, {"DATABASE_URL": "sqlite:///x"})
    script = (PROJECT / "terraform" / "scripts" / "manage.sh").read_text()
    line = " ".join(script[script.index("exec ") + 5 :].replace("\\\n", " ").replace('"$@"', "token admin").split())
    answer = play(call(line))
    assert answer.run == [f"{tmp_path}/.venv/bin/python", f"{tmp_path}/manage.py", "token", "admin"]
    for wrong in (
        line.replace("uid=fdist", "uid=root"),
        line.replace("coordinator.env", "agent.env"),
        f"{line[:12]} -x",
    ):
        with pytest.raises(Refused):
            play(call(wrong))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    plays = {
        "asks": lambda call: Answer("sure? ", then=lambda reply: Answer(f"{reply}!\n", status=3)),
        "goes-on": lambda call: Answer(run=["sh", "-c", "echo $WORD"], environment={"WORD": "on"}),
        "refuses": machine.systemctl,
    }
    with Programs(tmp_path / "bin", plays) as made:
        yield made


def test_a_program_on_path_does_what_it_is_told(programs: Programs) -> None:
    def run(*argv: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([programs.folder / argv[0], *argv[1:]], input=typed, capture_output=True, text=True)

    asked = run("asks", typed="yes\n")
    assert (asked.stdout, asked.returncode) == ("sure? yes!\n", 3)
    assert run("goes-on").stdout == "on\n"
    refused = run("refuses", "--no")
    assert refused.returncode == 2 and "unrecognized option '--no'" in refused.stderr
    assert [str(each) for each in programs.calls] == ["asks", "goes-on", "refuses --no"]
    assert len(programs.refusals) == 1


@pytest.mark.skipif(surface.real_gcloud() is None, reason="Google's gcloud is not on PATH")
def test_what_the_stand_in_takes_is_what_google_s_gcloud_takes() -> None:
    """After this: `python -m tests.played.surface`. A newer gcloud may take more; it takes all that we know of."""
    real, ours = surface.read()["commands"], json.loads(surface.FILE.read_text())["commands"]
    assert set(real) == set(ours) == set(surface.COMMANDS)
    for command, known in ours.items():
        assert known["positional"] == real[command]["positional"], command
        for flag, taken in known["flags"].items():
            there = real[command]["flags"].get(flag, {})
            assert (taken["takes"], taken.get("required")) == (there.get("takes"), there.get("required")), (
                command,
                flag,
            )
            assert set(taken.get("choices", [])) <= set(there.get("choices", [])), (command, flag)


def test_a_command_line_is_read_as_gcloud_reads_it() -> None:
    told = understand(
        ["storage", "buckets", "create", "gs://a", "--project", "p", "--location=eu", "--uniform-bucket-level-access"]
    )
    assert told.positional == ["gs://a"]
    assert told.flags == {"project": "p", "location": "eu", "uniform-bucket-level-access": ""}
