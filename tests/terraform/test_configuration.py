"""terraform/ is valid, in form, and makes what it promises; no cloud and no registry is asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.environment import PROJECT
from tests.terraform.terraform import Terraform

SOURCE = PROJECT / "terraform"
PACKAGE = "fdist-0.1.0-0123456789ab.tar.gz"
EXAMPLES = sorted(path.stem for path in (SOURCE / "examples").glob("*.tfvars"))
VARIABLES = {
    "project": "example-project",
    "package": PACKAGE,
    "database_password": "a-password-for-tests-that-is-long-enough",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, terraform: Terraform) -> Path:
    """A copy with its state on this machine, ready to be planned."""
    copy = tmp_path_factory.mktemp("installation")
    shutil.copytree(SOURCE, copy / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
    for read in ("grafana/alerts.yml", "runbook.md"):
        (copy / "docs" / read).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "docs" / read, copy / "docs" / read)
    (copy / "terraform" / "local_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    (copy / "terraform" / PACKAGE).touch()
    good(terraform.run(copy / "terraform", "init", "-input=false", "-no-color"))
    return copy / "terraform"


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_every_file_is_laid_out_as_terraform_likes_it(terraform: Terraform) -> None:
    assert good(terraform.run(SOURCE, "fmt", "-check", "-recursive", "-list=true")) == ""


def test_the_configuration_is_valid(terraform: Terraform, root: Path) -> None:
    assert "The configuration is valid" in good(terraform.run(root, "validate", "-no-color"))


def test_every_variable_is_described_and_what_is_wrong_is_said_with_its_name() -> None:
    text = "".join(path.read_text() for path in SOURCE.glob("variables*.tf"))
    blocks = dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL))
    assert {"project", "num_servers", "redis"} <= set(blocks)
    for name, body in blocks.items():
        assert re.search(r'description = "[A-Z`][^"]+', body) and "type " in body, name
        said = re.findall(r'error_message = "(.*?: )', body)
        assert set(said) <= {f"{name}: "}, name
        kind = re.search(r"type += (\w+)", body)
        assert said or (kind and kind[1] == "bool") or name == "image", name


def test_its_own_tests_pass(terraform: Terraform, root: Path) -> None:
    said = good(terraform.run(root, "test", "-no-color"))
    assert "0 failed" in said and "Success!" in said


@pytest.fixture(scope="module", params=EXAMPLES)
def plan(request: pytest.FixtureRequest, terraform: Terraform, root: Path) -> Iterator[dict[str, Any]]:
    """Each example's plan, as JSON."""
    arguments = [f"-var-file=examples/{request.param}.tfvars", f"-out={request.param}.plan"]
    good(terraform.run(root, "plan", "-input=false", "-no-color", *arguments, variables=VARIABLES))
    yield json.loads(good(terraform.run(root, "show", "-json", f"{request.param}.plan")))


def resources(plan: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The planned values of all resources of a kind."""
    return [
        change["change"]["after"]
        for change in plan["resource_changes"]
        if change["type"] == kind and change["change"]["actions"] == ["create"]
    ]


def test_no_machine_has_a_public_address(plan: dict[str, Any]) -> None:
    machines = resources(plan, "google_compute_region_instance_template") + resources(plan, "google_compute_instance")
    assert len(machines) >= 2
    assert [nic["access_config"] for machine in machines for nic in machine["network_interface"]] == [[], []]
    assert [
        sql["settings"][0]["ip_configuration"][0]["ipv4_enabled"]
        for sql in resources(plan, "google_sql_database_instance")
    ] == [False]


def test_machines_are_hardened(plan: dict[str, Any]) -> None:
    for machine in resources(plan, "google_compute_region_instance_template"):
        (shield,) = machine["shielded_instance_config"]
        assert shield["enable_secure_boot"] and shield["enable_vtpm"] and shield["enable_integrity_monitoring"]
        metadata = machine["metadata"]
        assert (metadata["enable-oslogin"], metadata["block-project-ssh-keys"]) == ("TRUE", "TRUE")
        assert metadata["startup-script"].startswith("#!/usr/bin/env bash")


def test_nobody_connects_from_outside_but_google_s_own_proxies(plan: dict[str, Any]) -> None:
    ranges = {each for rule in resources(plan, "google_compute_firewall") for each in rule["source_ranges"] or []}
    assert ranges == {"35.235.240.0/20", "35.191.0.0/16", "130.211.0.0/22"}
    for rule in resources(plan, "google_compute_firewall"):
        assert "target_service_accounts" not in rule or rule["target_service_accounts"], rule["name"]
        assert not rule["target_tags"] and not rule["source_tags"], rule["name"]


def test_machines_may_only_read_objects_of_the_two_buckets(plan: dict[str, Any]) -> None:
    assert {grant["role"] for grant in resources(plan, "google_storage_bucket_iam_member")} == {
        "roles/storage.objectViewer"
    }
    roles = {grant["role"] for grant in resources(plan, "google_project_iam_member")}
    assert roles <= {
        "roles/logging.logWriter",
        "roles/monitoring.metricWriter",
        "roles/memorystore.dbConnectionUser",
        "roles/iap.tunnelResourceAccessor",
        "roles/compute.osAdminLogin",
    }


def test_no_secret_is_in_the_plan(plan: dict[str, Any]) -> None:
    assert VARIABLES["database_password"] not in json.dumps(plan)
    assert [each.get("password") for each in resources(plan, "google_sql_user")] == [None]


def test_every_alert_of_the_docs_is_one_of_the_cloud_too(plan: dict[str, Any]) -> None:
    names = {
        policy["display_name"].removeprefix("fdist: ") for policy in resources(plan, "google_monitoring_alert_policy")
    }
    assert {"FdistNothingMoves", "FdistNoCoordinator"} <= names
    assert len(names) == (PROJECT / "docs" / "grafana" / "alerts.yml").read_text().count("- alert:")


def test_alerts_are_of_this_installation_alone(plan: dict[str, Any]) -> None:
    """Several installations in one project have their metrics in one place."""
    for policy in resources(plan, "google_monitoring_alert_policy"):
        [condition] = policy["conditions"]
        [asked] = condition["condition_prometheus_query_language"]
        assert re.search(r"fdist_\w+", asked["query"])
        assert not re.search(r'fdist_\w+(?!\w|\{job="fdist")', asked["query"]), asked["query"]


def test_an_autoscaled_fleet_shrinks_to_the_least_that_was_asked_for(terraform: Terraform, root: Path) -> None:
    asked = ["-var=num_servers=50", "-var=autoscaling={min = 4, max = 400}", "-out=autoscaled.plan"]
    good(terraform.run(root, "plan", "-input=false", "-no-color", *asked, variables=VARIABLES))
    plan = json.loads(good(terraform.run(root, "show", "-json", "autoscaled.plan")))
    [scaler] = resources(plan, "google_compute_region_autoscaler")
    [policy] = scaler["autoscaling_policy"]
    assert (policy["min_replicas"], policy["max_replicas"]) == (4, 400)


LONGEST_DOCUMENTATION = 8192  # characters, by the API of Cloud Monitoring


def test_an_alert_says_itself_what_to_do_and_leads_to_the_runbook_where_its_address_is_known(
    plan: dict[str, Any],
) -> None:
    address = plan["variables"]["runbook_url"]["value"]
    for policy in resources(plan, "google_monitoring_alert_policy"):
        name, (told,) = policy["display_name"].removeprefix("fdist: "), policy["documentation"]
        assert all(part in told["content"] for part in ("**Means.**", "**Look.**", "**Do.**")), name
        assert len(told["content"]) < LONGEST_DOCUMENTATION
        assert not re.search(r"\]\((?!https://)", told["content"]), "a link that leads nowhere from a mail"
        assert "example.org/fdist" not in told["content"]
        assert "{{" not in told["content"], "Prometheus's templates are not Cloud Monitoring's"
        links = [(link["display_name"], link["url"]) for link in told["links"]]
        assert links == ([("Runbook", f"{address}#{name.lower()}")] if address else []), name


@pytest.mark.parametrize("kind", ["redis", "vm"])
def test_other_kinds_of_redis_can_be_planned(kind: str, terraform: Terraform, root: Path) -> None:
    said = good(terraform.run(root, "plan", "-input=false", "-no-color", f"-var=redis={kind}", variables=VARIABLES))
    wanted = "google_redis_instance" if kind == "redis" else "google_compute_instance"
    assert f'resource "{wanted}" "this"' in said
    assert "google_memorystore_instance" not in said
