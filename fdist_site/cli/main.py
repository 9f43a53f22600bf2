"""The console script `fdist`."""

from __future__ import annotations

import os
import sys

import click

from fdist_site.cli import bench, chaos, exits, jobs, login, nodes, output, push, standing, waiting
from fdist_site.cli.context import Settings
from transfers.errors import FdistError

EPILOG = "Exit codes, configuration and recipes: docs/cli.md. Completion: fdist completion --help"


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option("--url", default="", help="The coordinator's address.  [env: FDIST_URL]")
@click.version_option(package_name="fdist", message="fdist %(version)s")
@click.pass_context
def cli(context: click.Context, url: str) -> None:
    """Brings files from a bucket to every server of a fleet."""
    context.obj = Settings(url)
    context.call_on_close(context.obj.close)


for command in (
    push.push,
    push.plan,
    jobs.jobs,
    jobs.show,
    jobs.events,
    waiting.watch,
    waiting.wait,
    *jobs.ACTS,
    nodes.nodes,
    nodes.status,
    standing.standing,
    bench.bench,
    chaos.chaos,
    login.login,
    login.logout,
    login.completion,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line; gives the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(given, prog_name="fdist", standalone_mode=False)
        return code if isinstance(code, int) else exits.OK
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        output.report_usage(error, as_json="--json" in given)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except FdistError as error:
        output.report(error, as_json="--json" in given)
        return exits.code_of(error)
    except BrokenPipeError:  # `fdist jobs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes at its end
        return exits.OK
