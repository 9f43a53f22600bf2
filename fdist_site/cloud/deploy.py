"""Puts an installation on Google Cloud, or brings one up to date: `make deploy PROJECT=... NUM_SERVERS=3`.

Packs the project, makes the bucket for Terraform's state, applies terraform/ (which uploads the package), waits until
the workers are live, and says how to reach the UI. Run again it changes what differs.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from fdist_site.cloud.package import PACKAGES, PYTHON, make_package
from fdist_site.cloud.tools import CloudError, Target, Terraform, ask, make_state_bucket, require, say
from fdist_site.cloud.tunnel import Tunnel
from fdist_site.cloud.waiting import Health, look, wait_healthy
from transfers.errors import FdistError

DEFAULT_REGION = "us-central1"
NO_PACKAGE = "fdist-0.0.0-000000000000.tar.gz"  # what is destroyed needs none
MOST_SERVERS = 2000


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="make deploy", description=(__doc__ or "").partition("\n")[0])
    found.add_argument("verb", choices=["deploy", "destroy"])
    found.add_argument("--project", default="", help="Google Cloud project [PROJECT]")
    found.add_argument(
        "--num-servers", default="3", help="number of workers of a fleet that is not autoscaled [NUM_SERVERS]"
    )
    found.add_argument("--name", default="fdist", help="of the installation [NAME]")
    found.add_argument("--region", default="", help=f"default {DEFAULT_REGION} [REGION]")
    found.add_argument("--zones", default="", help="with commas between [ZONES]")
    found.add_argument("--var-file", type=Path, action="append", default=[], help="of further variables [TFVARS]")
    found.add_argument("--python", default=PYTHON, help="version of Python of the machines' image [IMAGE_PYTHON]")
    found.add_argument("--package", type=Path, help="an archive of `make package`, instead of a new one [PACKAGE]")
    found.add_argument("--patience", type=float, default=1800, help="seconds to wait for the workers [PATIENCE]")
    found.add_argument("--yes", action="store_true", help="do it without asking [YES=1]")
    return found


def variables(options: argparse.Namespace, package: str) -> dict[str, str]:
    """The configuration's variables, as terraform reads them; raises CloudError for what cannot be."""
    if not options.num_servers.isdigit() or not 1 <= int(options.num_servers) <= MOST_SERVERS:
        raise CloudError(f'NUM_SERVERS: "{options.num_servers}" is no whole number from 1 to {MOST_SERVERS}')
    zones = [zone.strip() for zone in options.zones.split(",") if zone.strip()]
    region = options.region or (zones[0].rpartition("-")[0] if zones else "")
    if region and not zones:
        raise CloudError(f"ZONES: name the zones of {region} that workers go to, such as ZONES={region}-a")
    if wrong := [zone for zone in zones if not zone.startswith(f"{region}-")]:
        raise CloudError(f"ZONES: {wrong[0]} is not in {region}")
    if missing := [file for file in options.var_file if not file.is_file()]:
        raise CloudError(f"TFVARS: {missing[0]} does not exist")
    if options.package is not None and not options.package.is_file():
        raise CloudError(f"PACKAGE: {options.package} does not exist")
    found = {"project": options.project, "name": options.name, "num_servers": options.num_servers, "package": package}
    if zones:
        found |= {"region": region, "zones": "[" + ", ".join(f'"{zone}"' for zone in zones) + "]"}
    return found


def deploy(options: argparse.Namespace, target: Target) -> None:
    variables(options, NO_PACKAGE)  # what is wrong is said before anything is done
    require("terraform", "gcloud")
    package = options.package
    if package is None:
        say("packing the project")
        package = make_package(PACKAGES, options.python)
    wanted = variables(options, str(package.resolve()))
    make_state_bucket(target, wanted.get("region", DEFAULT_REGION))
    terraform = Terraform(target)
    terraform.init()
    terraform.change("apply", wanted, options.var_file, secrets.token_urlsafe(32), options.yes)
    outputs = terraform.outputs()
    expected = int(outputs["workers_expected"])  # not NUM_SERVERS, where the fleet scales by itself
    say(f"waiting until {expected:,} workers are live")
    token = ""
    with Tunnel(outputs["ui_tunnel"]) as tunnel:

        def see() -> Health:
            nonlocal token
            tunnel.keep_open()
            try:
                token = token or ask("bash", "-c", outputs["metrics_token"])
            except CloudError:
                return Health(why="the coordinator has not made its secrets yet")
            return look(tunnel.url, token)

        wait_healthy(see, expected, options.patience, say)
    say(
        f"\nThe installation is up.\n\nOpen the UI, user admin, at http://127.0.0.1:8000/ while this runs:\n\n"
        f"  {outputs['ui_tunnel']}\n\nIts password:\n\n  {outputs['admin_password']}\n\n"
        f"Files to distribute go to gs://{outputs['bucket']}/."
    )


def destroy(options: argparse.Namespace, target: Target) -> None:
    wanted = variables(options, NO_PACKAGE)
    require("terraform", "gcloud")
    terraform = Terraform(target)
    terraform.init()
    try:
        terraform.change("destroy", wanted, options.var_file, secrets.token_urlsafe(32), options.yes)
    except CloudError as error:
        raise CloudError(
            f"{error}\nWhat is protected is not destroyed: deploy with deletion_protection = false first (docs/gcp.md)"
        ) from None
    say(f"The installation is gone. Its Terraform state stays in gs://{target.state_bucket}.")


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        target = Target(options.project, options.name)
        {"deploy": deploy, "destroy": destroy}[options.verb](options, target)
    except FdistError as error:
        print(f"{options.verb}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
