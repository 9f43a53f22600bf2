"""The pages of docs/reference that are made from the code: `make reference` writes them, a test compares them.

They are read from the commands themselves and not from what `--help` prints, whose layout differs between versions of
Python and of click.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
NOTE = "<!-- Made by `make reference` from the code; a test compares them. -->"
APPS = ("fdist_site", "nodes", "transfers")
OF_DJANGO = {
    "help",
    "version",
    "verbosity",
    "settings",
    "pythonpath",
    "traceback",
    "no_color",
    "force_color",
    "skip_checks",
}


def cell(text: str) -> str:
    """Text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def table(rows: list[tuple[str, str]], first: str = "option") -> list[str]:
    return [f"| {first} | meaning |", "| --- | --- |", *(f"| {name} | {cell(what)} |" for name, what in rows), ""]


def prose(text: str) -> list[str]:
    """A help text: its paragraphs, and as a block whatever is laid out in columns or as examples."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        rows = [row.rstrip() for row in paragraph.splitlines() if row.strip() != "\b"]
        laid_out = "\b" in paragraph or any(re.search(r"\S {2,}\S", row) or row.startswith("  ") for row in rows)
        lines += ["```text", *rows, "```", ""] if laid_out else [" ".join(row.strip() for row in rows), ""]
    return lines


# --- fdist


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with the words that call it."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def option_row(option: click.Option, context: click.Context) -> tuple[str, str]:
    value = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    said = (option.help or "").strip()
    default = (
        "" if option.default in (None, "", False, ()) or not option.show_default else f" Default: {option.default}."
    )
    return f"`{', '.join(option.opts)}{value}`".replace("|", "\\|"), said + default


def fdist() -> str:
    from fdist_site.cli.main import cli

    lines = [NOTE, "", "# Every command of `fdist`", ""]
    lines += [
        "What they are for, exit codes and configuration are in [cli.md](../cli.md). `fdist --url ADDRESS COMMAND`"
    ]
    lines += ["asks another coordinator than the configured one.", ""]
    for words, command in commands(cli, "fdist"):
        context = click.Context(command, info_name=words)
        arguments = [f" {each.make_metavar(context)}" for each in command.params if isinstance(each, click.Argument)]
        lines += [f"## {words}{''.join(arguments)}", "", *prose(command.help or "")]
        options = [option_row(each, context) for each in command.params if isinstance(each, click.Option)]
        if options:
            lines += table(options)
    return "\n".join(lines).rstrip() + "\n"


# --- manage.py


def action_row(action: argparse.Action) -> tuple[str, str]:
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices:
        value = "{" + ",".join(str(each) for each in action.choices) + "}"
    shown = ", ".join(action.option_strings)
    if action.nargs != 0:
        shown = f"{shown} {value}".strip()
    said = (action.help or "").strip()
    if action.default not in (None, False, "", argparse.SUPPRESS) and "default" not in said:
        said += f" (default: {action.default})"
    return f"`{shown}`".replace("|", "\\|"), said.replace("%(default)s", str(action.default))


def manage() -> str:
    from django.core.management import get_commands, load_command_class

    ours = {name: app for name, app in get_commands().items() if app in APPS}
    lines = [NOTE, "", "# Every command of `manage.py`", ""]
    lines += ["They work on the coordinator itself, with its [settings](../settings.md), without the API or a token."]
    lines += ["Beside these there are [Django's own](https://docs.djangoproject.com/en/5.2/ref/django-admin/), such as"]
    lines += ["`migrate`, `createsuperuser` and `check --deploy`.", ""]
    for name in sorted(ours):
        command = load_command_class(ours[name], name)
        parser: Any = command.create_parser("manage.py", name)
        lines += [f"## {name}", "", *prose(command.help)]
        actions = [each for each in parser._actions if each.dest not in OF_DJANGO and each.help != argparse.SUPPRESS]
        if actions:
            lines += table([action_row(each) for each in actions], "argument")
        if parser.epilog:
            lines += prose(parser.epilog)
    return "\n".join(lines).rstrip() + "\n"


# --- the API


def schema() -> dict[str, Any]:
    from drf_spectacular.generators import SchemaGenerator

    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


def openapi() -> str:
    from drf_spectacular.renderers import OpenApiYamlRenderer

    return OpenApiYamlRenderer().render(schema(), renderer_context={}).decode()


def api() -> str:
    found = schema()
    lines = [NOTE, "", "# Every request of the API", ""]
    lines += [
        "How to log in, errors, lists, streams and webhooks are in [api.md](../api.md); the same as OpenAPI 3, with"
    ]
    lines += ["everything that is answered, is [openapi.yaml](openapi.yaml).", ""]
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            lines += [f"## {method.upper()} {path}", "", *prose(operation.get("description", ""))]
            asked = [each for each in operation.get("parameters", ()) if each["in"] in ("query", "header")]
            if asked:
                lines += table([(f"`{each['name']}`", parameter(each)) for each in asked], "parameter")
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if fields := list(body_rows(content.get("schema", {}), found["components"]["schemas"])):
                lines += ["| field | type | meaning |", "| --- | --- | --- |", *fields, ""]
    return "\n".join(lines).rstrip() + "\n"


def parameter(asked: dict[str, Any]) -> str:
    """What a parameter of a request means, with the values that it can have."""
    kind = asked["schema"]
    choices = " or ".join(f"`{each}`" for each in kind.get("enum", kind.get("items", {}).get("enum", ())))
    return " ".join(filter(None, [without_choices(asked.get("description", "")), choices]))


def without_choices(text: str) -> str:
    """A description without the list of values that the schema's maker adds."""
    return re.split(r"^\* `", text, maxsplit=1, flags=re.MULTILINE)[0]


def body_rows(body: dict[str, Any], components: dict[str, Any]) -> Iterator[str]:
    """A row for each field of what a request carries."""
    named = components[body["$ref"].rpartition("/")[2]] if "$ref" in body else body
    for name, field in named.get("properties", {}).items():
        needed = ", needed" if name in named.get("required", ()) else ""
        choices = next((each for each in (field, *_parts(field, components)) if "enum" in each), {}).get("enum", ())
        kind = " or ".join(f"`{choice}`" for choice in choices) or field.get("type", "") or "object"
        yield f"| `{name}` | {kind}{needed} | {cell(without_choices(field.get('description', '')))} |"


def _parts(field: dict[str, Any], components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    refs = [field, *field.get("allOf", ()), *field.get("oneOf", ())]
    yield from (components[each["$ref"].rpartition("/")[2]] for each in refs if "$ref" in each)


# --- Redis


def redis() -> str:
    """The keys of a cell, and each script's own header."""
    from transfers.scheduler import keys, scripts

    lines = [NOTE, "", "# Every key and script in Redis", ""]
    lines += ["Only the scripts change the keys; the coordinator, the site and the agents call them through"]
    lines += ["`transfers/scheduler/face.py`. How they work together is in [mesh.md](../mesh.md).", "", "## Keys", ""]
    said = re.sub(r"`[^`]*`|<", lambda found: found[0] if len(found[0]) > 1 else "&lt;", keys.__doc__ or "")
    lines += [said.partition("\n\n")[2].strip(), ""]
    for name in scripts.names():
        text = (scripts.FOLDER / f"{name}.lua").read_text()
        header = [line.removeprefix("--").removeprefix(" ") for line in text.partition("\n\n")[0].splitlines()]
        lines += [f"## {name}", "", "```text", *header, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


# --- metrics

KINDS = {
    "Counter": "counter",
    "CounterMetricFamily": "counter",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    "_gauge": "gauge",
    "_states": "gauge",
    "Histogram": "histogram",
    "InfoMetricFamily": "info",
}
SUFFIXES = {"counter": "_total", "info": "_info"}
LABELS = {"_states": ["state"], "InfoMetricFamily": ["node", "cell"]}
FOLDERS = ("fdist_site", "nodes", "transfers")
METRICS_HEAD = f"""{NOTE}

# Every metric

Where each is read, with which token, and what the important ones answer, is in
[operations.md](../operations.md#metrics). Beside these each process tells `process_*` and `python_*`: memory, processor
time, open files, the version of Python. A histogram has `_bucket` with the label `le`, `_sum` and `_count`.

| label | values |
| --- | --- |
| `source` | `bucket`, `peer` |
| `outcome` | `done` (an agent says `ok`), `failed`, `expired`, `corrupt`, `cancelled` |
| `reason` | why a transfer failed, one of some fifteen words, else `other` |
| `of` | `shard`, `file` |
| `state` | of nodes and of jobs, as the API names them |
| `node` | of a job's efficiency: `median`, `last`; of `fdist_agent_info`: the node's name |
| `part` | of the coordinator, such as `recorder`; of `fdist_up`: `database`, `redis`, `redis_info` |
| `command` | of Redis, such as `fcall` |
| `table` | `transfers`, `events` |
| `standing` | the name of a standing distribution |
| `use` | of the nodes that are to have it: those that use the `current` version, and those that are `behind` |
| `which` | of its versions: `current`, `newest` |
"""
TOLD_BY = {
    "transfers/metrics/cell.py": "The site: the cell at this moment",
    "transfers/metrics/scheduler_load.py": "The site: what Redis says of itself",
    "transfers/metrics/counts.py": "The coordinator: what happened",
    "transfers/metrics/standing.py": "The site: standing distributions",
    "nodes/agent/metrics.py": "An agent: one node",
}


def metric_row(call: ast.Call) -> str:
    """A row for one declaration of a metric, or nothing for another call."""
    if not (isinstance(call.func, ast.Name) and call.func.id in KINDS and len(call.args) > 1):
        return ""
    name, what = call.args[:2]
    if not (isinstance(name, ast.Constant) and str(name.value).startswith("fdist_") and isinstance(what, ast.Constant)):
        return ""
    kind = KINDS[call.func.id]
    given = [word.value for word in call.keywords if word.arg == "labels"] + call.args[2:3]
    listed = [each.value for labels in given if isinstance(labels, ast.List) for each in labels.elts]  # type: ignore[attr-defined]
    labels = ", ".join(f"`{label}`" for label in LABELS.get(call.func.id, listed))
    return f"| `{name.value}{SUFFIXES.get(kind, '')}` | {kind} | {labels} | {cell(str(what.value))} |"


def metrics() -> str:
    """Every metric that is declared in the code, by the file that declares it."""
    lines = [METRICS_HEAD]
    project = FOLDER.parents[1]
    for path in sorted(path for folder in FOLDERS for path in (project / folder).rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        rows = [row for call in sorted(calls, key=lambda call: call.lineno) if (row := metric_row(call))]
        if rows:
            name = path.relative_to(project).as_posix()
            lines += [f"## {TOLD_BY.get(name, name)}", ""]
            lines += ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
            lines += [*rows, ""]
    return "\n".join(lines).rstrip() + "\n"


MADE = {
    "api.md": api,
    "cli.md": fdist,
    "manage.md": manage,
    "metrics.md": metrics,
    "openapi.yaml": openapi,
    "redis.md": redis,
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fdist_site.settings")
    import django

    django.setup()
    FOLDER.mkdir(exist_ok=True)
    for name, make in MADE.items():
        (FOLDER / name).write_text(make())


if __name__ == "__main__":
    main()
