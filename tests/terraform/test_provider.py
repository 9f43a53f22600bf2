"""The check itself: what is wrong in a configuration is found, where it is, without the provider registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.terraform.terraform import Terraform

GOOD = """
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

resource "google_compute_region_instance_group_manager" "fleet" {
  name               = "fleet"
  base_instance_name = "node"
  target_size        = 3
  version {
    instance_template = google_service_account.fleet.email
  }
}

resource "google_service_account" "fleet" {
  account_id = "fleet"
}

resource "google_sql_user" "fdist" {
  name        = "fdist"
  instance    = "record"
  password_wo = var.password
}

resource "google_compute_network" "fleet" {
  name         = "fleet"
  routing_mode = "REGIONAL"
}

variable "password" {
  type      = string
  ephemeral = true
}

output "email" {
  value = google_service_account.fleet.email
}
"""

WRONG = {
    "a misspelt argument": ("target_size ", "target_sise ", "An argument named", 11),
    "a misspelt block": ("  version {", "  versions {", "Blocks of type", 12),
    "a misspelt resource": (
        '"google_service_account" "fleet"',
        '"google_service_acount" "fleet"',
        "does not support",
        17,
    ),
    "a wrong type": ("= 3", '= "three"', "a number is required", 11),
    "a missing argument": ('  base_instance_name = "node"\n', "", 'The argument "base_instance_name" is required', 8),
    "a missing block": (
        "  version {\n    instance_template = google_service_account.fleet.email\n  }\n",
        "",
        'At least 1 "version" blocks are required',
        8,
    ),
    "an output that is not there": ("fleet.email\n}", "fleet.emial\n}", 'attribute named "emial"', 38),
    "a value that is not documented": ('"REGIONAL"', '"LOCAL"', "is none of REGIONAL, GLOBAL", 27),
    "a secret that would be kept": ("password_wo", "password", "Invalid use of ephemeral value", 24),
}


def configuration(folder: Path, text: str, terraform: Terraform) -> Path:
    folder.mkdir()
    (folder / "main.tf").write_text(text)
    terraform.run(folder, "init", "-input=false")
    return folder


def test_what_is_right_passes(tmp_path: Path, terraform: Terraform) -> None:
    folder = configuration(tmp_path / "good", GOOD, terraform)
    answer = json.loads(terraform.run(folder, "validate", "-json").stdout)
    assert answer["valid"], answer
    plan = terraform.run(folder, "plan", "-input=false", "-no-color", variables={"password": "not-kept-anywhere"})
    assert "Plan: 4 to add" in plan.stdout, plan.stderr
    assert "not-kept-anywhere" not in plan.stdout


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found_with_its_line(what: str, tmp_path: Path, terraform: Terraform) -> None:
    old, new, said, line = WRONG[what]
    assert GOOD.count(old) >= 1
    folder = configuration(tmp_path / "wrong", GOOD.replace(old, new, 1), terraform)
    answer = json.loads(terraform.run(folder, "validate", "-json").stdout)
    assert not answer["valid"]
    errors = [(each["summary"] + " " + each["detail"], each) for each in answer["diagnostics"]]
    matching = [each for text, each in errors if said in text]
    assert matching, errors
    where = matching[0]["range"]
    assert (where["filename"], where["start"]["line"]) == ("main.tf", line)
