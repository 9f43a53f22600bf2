"""What commands print: JSON for programs, tables for people; and what went wrong, with what to do next."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from transfers.client import errors

if TYPE_CHECKING:
    from rich.console import Console

OPTIONS = {  # what the API calls them -> what the command line does
    name: "--" + name.replace("_", "-")
    for name in (
        "nodes",
        "topology",
        "destination",
        "name",
        "shard_size",
        "gcs_slots",
        "upload_slots",
        "download_slots",
        "priority",
        "quorum",
        "own_zone",
        "bucket_budget",
    )
}
LEAST = 8  # columns of a table's last column, which is cut where the screen is narrow
WIDE = 1000  # columns where there is no terminal: nothing is cut off in a pipe


def console(*, error: bool = False) -> Console:
    """Rich takes a tenth of a second to load, which commands that print JSON do without."""
    from rich.console import Console

    found = Console(stderr=error, highlight=False)
    if not found.is_terminal:
        found = Console(stderr=error, highlight=False, width=WIDE)
    return found


def print_json(value: Any) -> None:
    """One line; many of them are a stream that `jq` reads."""
    sys.stdout.write(json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if hasattr(value, "raw"):
        return value.raw  # as the API gave it
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table without lines; the last column is cut where the screen ends."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(columns):
        last = number == len(columns) - 1
        width = max(len(name), *(len(row[number]) for row in cells)) if cells else len(name)
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(
            name, justify=justify, no_wrap=True, overflow="ellipsis", min_width=min(width, LEAST) if last else width
        )
    for row in cells:
        table.add_row(*map(Text, row))
    console().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Names and values below each other; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, style="dim"), Text(value))
    console().print(table)


def age(at: datetime | None) -> str:
    """ "12 s", "5 min", "3 h" or "2 d" ago."""
    if at is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - at).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def report(error: Exception, *, as_json: bool) -> None:
    """Says on standard error what went wrong and what to do."""
    if as_json:
        told: dict[str, Any] = {"error": str(error), "kind": type(error).__name__, "hint": hint(error)}
        if isinstance(error, errors.Problem):
            told |= {"status": error.status, "faults": [asdict(fault) for fault in error.faults]}
        sys.stderr.write(json.dumps(told, separators=(",", ":")) + "\n")
        return
    lines = [f"fdist: {sentence}" for sentence in _sentences(error)]
    if advice := hint(error):
        lines.append(f"       {advice}")
    sys.stderr.write("\n".join(lines) + "\n")


def report_usage(error: click.ClickException, *, as_json: bool) -> None:
    """The same for a command line that is wrong: as click says it, or as JSON."""
    if not as_json:
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    advice = f"{context.command_path} --help" if context else ""
    told = {"error": error.format_message(), "kind": type(error).__name__, "hint": advice}
    sys.stderr.write(json.dumps(told, separators=(",", ":")) + "\n")


def _sentences(error: Exception) -> list[str]:
    faults = error.faults if isinstance(error, errors.Problem) else ()
    named = [f"{OPTIONS.get(fault.field, fault.field)}: {fault.detail}" for fault in faults if fault.field]
    return named or [str(error)]


def hint(error: Exception) -> str:
    """What to do next, where that is known."""
    match error:
        case errors.NotLoggedIn():
            return "log in with `fdist login`, or set FDIST_TOKEN; `manage.py token USER` on the coordinator makes one"
        case errors.NotAllowed():
            return "an administrator can give your user this permission, in the admin"
        case errors.Unreachable():
            return "is `manage.py web` running there? another address: --url, FDIST_URL, or `fdist login --url`"
        case errors.NotFound() if "`" not in str(error):
            return "`fdist jobs` and `fdist nodes` list what there is"
        case errors.Throttled():
            return "wait a moment; FDIST_API_RATE on the coordinator sets the limit"
        case errors.Unavailable():
            return "try again later; `fdist status` says which part is missing"
        case errors.Conflict():
            return "`fdist show JOB` and `fdist nodes` say which state it is in"
        case errors.ServerFault():
            return "the coordinator's log has the reason"
    return ""
