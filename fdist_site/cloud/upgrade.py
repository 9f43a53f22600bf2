"""Brings the agents of an installation to the package that was deployed, a few at a time: `make upgrade PROJECT=...`.

`make deploy` comes first: it uploads the package and replaces the coordinator, and touches no worker. Needs the token
of a user who may drain nodes, in FDIST_TOKEN.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from fdist_site.cloud.rolling import upgrade
from fdist_site.cloud.tools import CloudError, Target, Terraform, ask, require, say
from fdist_site.cloud.tunnel import Tunnel
from transfers.client import Fdist
from transfers.errors import FdistError

PATIENCE = 60.0  # seconds for the coordinator to answer through the tunnel


@dataclass(frozen=True)
class InstanceGroup:
    """refresh: new settings for running machines, which then update themselves. replace: new machines, without data."""

    project: str
    region: str
    name: str
    action: str

    def update(self, names: Sequence[str]) -> None:
        ask(
            *("gcloud", "compute", "instance-groups", "managed", "update-instances", self.name),
            *(f"--project={self.project}", f"--region={self.region}", f"--instances={','.join(names)}"),
            *(f"--minimal-action={self.action}", f"--most-disruptive-allowed-action={self.action}"),
        )


def run(options: argparse.Namespace, token: str) -> int:
    """Gives how many nodes were brought up to date."""
    target = Target(options.project, options.name)
    if options.batch < 1:
        raise CloudError(f"BATCH: {options.batch} is not 1 or more")
    if not token:
        raise CloudError("FDIST_TOKEN: is not set; `manage.py token USER` on the coordinator makes a token")
    require("terraform", "gcloud")
    terraform = Terraform(target)
    terraform.init()
    outputs = terraform.outputs()
    group = InstanceGroup(target.project, **outputs["workers_group"], action=options.action)
    with Tunnel(outputs["ui_tunnel"]) as tunnel, Fdist(tunnel.url, token, patience=PATIENCE) as client:
        prefix = f"{target.name}-worker-"  # nodes on servers of one's own are not the group's
        return upgrade(client, group, outputs["release"], batch=options.batch, say=say, prefix=prefix)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make upgrade", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--project", default="", help="Google Cloud project [PROJECT]")
    parser.add_argument("--name", default="fdist", help="of the installation [NAME]")
    parser.add_argument("--batch", type=int, default=1, help="nodes at a time [BATCH]")
    parser.add_argument("--action", choices=["refresh", "replace"], default="refresh", help="what is done [ACTION]")
    options = parser.parse_args(arguments)
    try:
        done = run(options, os.environ.get("FDIST_TOKEN", "").strip())
    except FdistError as error:
        print(f"upgrade: {error}", file=sys.stderr)
        return 1
    print(f"{done:,} nodes were brought up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
