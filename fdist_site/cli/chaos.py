"""fdist chaos: faults on purpose while a job runs, on a test fleet, and whether the job held."""

from __future__ import annotations

import random
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from fdist_site.cli import exits, output
from fdist_site.cli.bench import counted, put_away
from fdist_site.cli.context import Duration, Rate, Selector, Settings, json_option, pass_settings
from fdist_site.cli.waiting import follow, follow_job
from transfers.words import count

if TYPE_CHECKING:
    from transfers.client import Fdist, Job
    from transfers.progress import JobProgress


class Share(click.ParamType[float]):
    """A number of nodes, or a part of them such as 10%; the part is given as a negative number."""

    name = "share"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = -1
        if number < 0 or (text.endswith("%") and number > 100) or (not text.endswith("%") and number % 1):
            self.fail(f'"{value}" is neither a number of nodes nor a part such as 10%', parameter, context)
        return -number / 100 if text.endswith("%") else number


@dataclass(frozen=True)
class Fault:
    act: str
    node: str


@dataclass(frozen=True)
class Check:
    what: str
    held: bool
    detail: str = ""


@click.command()
@click.argument("source")
@click.option("--nodes", type=Selector(), help="all (default), gpu-01,gpu-02 or zone=a,kind=h100.", metavar="NODES")
@click.option("--topology", type=click.Choice(["mesh", "pipeline"]), default="mesh", show_default=True)
@click.option("--kill", type=Share(), default="10%", show_default=True, help="Agents to end, without a goodbye.")
@click.option("--slow", type=Share(), default="5%", show_default=True, help="Nodes to slow down.")
@click.option("--corrupt", type=Share(), default="5%", show_default=True, help="Nodes that damage a shard they hold.")
@click.option("--rate", type=Rate(), default="8mbit", show_default=True, help="Of a slowed node.")
@click.option("--for", "seconds", type=Duration(), default="60s", show_default=True, help="How long it is slow.")
@click.option("--at", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="Part of the job by then.")
@click.option("--seed", type=int, help="Picks the same nodes again.")
@click.option(
    "--most-amplification",
    type=float,
    default=1.1,
    show_default=True,
    help="More, beside what the killed had read, does not count as held.",
)
@click.option("--keep", is_flag=True, help="Leave the files on the nodes.")
@json_option
@pass_settings
def chaos(settings: Settings, /, source: str, at: float, most_amplification: float, keep: bool, **options: Any) -> int:
    """Kill, slow and damage nodes while SOURCE is distributed, and say whether the job held.

    Works on a test fleet alone: FDIST_TEST_FLEET is set for the coordinator's site and for each agent. A part such as
    10% is of the job's nodes, and at least one. At the end every node reads its files again.

    Exit code 0 when it held, 1 when it did not, 6 where this is no test fleet.
    """
    client = settings.client()
    if not client.cell().get("test_fleet"):
        raise exits.NotHere(
            "this is no test fleet, and nobody wants to lose nodes of another: set FDIST_TEST_FLEET=true for the site "
            "and for the agents of one that may break"
        )
    job = client.submit(
        source,
        nodes=options["nodes"],
        topology=options["topology"],
        destination=f"fdist-chaos-{secrets.token_hex(4)}",
        name="chaos",
    )
    try:
        plan = _plan(client, job, options)
        follow(settings, _meddled(client, job, plan, at, options))
        checks = _judge(settings, client, job, plan, most_amplification)
    finally:
        if not keep:
            put_away(client, job)
    held = all(check.held for check in checks)
    if settings.json:
        told = {"held": held, "job": job.id, "faults": [asdict(each) for each in plan]}
        output.print_json({**told, "checks": [asdict(check) for check in checks]})
    else:
        _show(plan, checks, held)
    return exits.OK if held else exits.FAILED


def _plan(client: Fdist, job: Job, options: dict[str, Any]) -> list[Fault]:
    """Which node gets which fault: no node gets two."""
    names = sorted(node.node for node in client.job_nodes(job))
    order = random.Random(options["seed"]).sample(names, len(names))  # noqa: S311  (repeatable, and no secret)
    plan: list[Fault] = []
    for act in ("kill", "slow", "corrupt"):
        share = options[act]
        number = max(1, round(-share * len(names))) if share < 0 else int(share)
        plan += [Fault(act, order.pop()) for _ in range(min(number, len(order)))]
    return plan


def _meddled(
    client: Fdist, job: Job, plan: Sequence[Fault], at: float, options: dict[str, Any]
) -> Iterator[JobProgress]:
    """The job's progress; the faults are made once it is so far."""
    left = list(plan)
    for progress in client.watch(job):
        yield progress
        if left and (progress.part >= at or progress.ended):
            for fault in left:
                _make(client, job, fault, options)
            left.clear()


def _make(client: Fdist, job: Job, fault: Fault, options: dict[str, Any]) -> None:
    details: dict[str, Any] = {}
    if fault.act == "slow":
        details = {"rate": options["rate"] * 8, "seconds": max(1, round(options["seconds"]))}
    elif fault.act == "corrupt":
        details = {"job": job.id}
    client.chaos(fault.node, fault.act, **details)


def _judge(
    settings: Settings, client: Fdist, job: Job, plan: Sequence[Fault], most_amplification: float
) -> list[Check]:
    ended = client.job(job)
    checks = [Check("the job is complete", ended.state == "complete", ended.error)]
    killed = {fault.node for fault in plan if fault.act == "kill"}
    if checks[0].held:
        client.verify(job)
        code = follow_job(settings, job.id)
        checks.append(Check("every file was read again and is whole", code == exits.OK, client.job(job).error))
    missing = [node.node for node in client.job_nodes(job) if node.state != "done" and node.node not in killed]
    lacking = f"{count(len(missing), 'node')} without it: {', '.join(missing[:5])}" if missing else ""
    checks.append(Check("every node that was not killed has it", not missing, lacking))
    checks.append(_judge_reads(client, job, killed, most_amplification))
    return checks


def _judge_reads(client: Fdist, job: Job, killed: Collection[str], most: float) -> Check:
    """What the killed nodes had read may have died with them, before another had it: that much is read again."""
    ended = counted(client, client.job(job))
    lost = sum(node.bytes_from_gcs for node in client.job_nodes(job) if node.node in killed) / ended.size
    detail = f"{ended.amplification:.3f} x, of which the killed had read {lost:.3f} x"
    return Check(f"at most {most:g} x out of the bucket", ended.amplification - lost <= most, detail)


def _show(plan: Sequence[Fault], checks: Sequence[Check], held: bool) -> None:
    for act, word in (("kill", "killed"), ("slow", "slowed"), ("corrupt", "damaged on")):
        names = [fault.node for fault in plan if fault.act == act]
        if names:
            click.echo(f"{word} {', '.join(names)}")
    for check in checks:
        detail = f" ({check.detail})" if check.detail else ""
        click.echo(f"{'yes' if check.held else 'NO '}  {check.what}{detail}")
    click.echo("the job held" if held else "the job did NOT hold")
