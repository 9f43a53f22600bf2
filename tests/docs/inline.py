"""Commands within the sentences and tables of a page, and which run each of them has.

Those of programs that are played are run as they stand, after the page's blocks. Of ours (`fdist`, `manage.py`, `make`,
`python -m`) a sentence often gives a part: it is covered when a block that is run has the same command, or a test that
COVERED names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from django.core.management import get_commands

from tests.docs.blocks import FENCE

SPAN = re.compile(r"`([^`]+)`")
PLAYED = ("gcloud", "terraform", "journalctl", "systemctl", "sudo")
OURS = ("fdist", "make", "manage.py", "python", ".venv/bin/python", "/opt/fdist/terraform/scripts/manage.sh")
OTHERS = ("redis-cli", "valkey-cli", "psql", "pg_dump", "pg_restore", "curl", "promtool", "openssl", "uv", "modprobe")
WITH_ACTIONS = ("enrolment_key", "redis_acl", "backup")  # of manage.py
# What no block has; each file has the last word of the command in it.
COVERED = {
    "fdist cancel": "tests/cli/test_fdist_commands.py",
    "fdist chaos": "tests/e2e/test_cli.py",
    "fdist completion": "tests/cli/test_config.py",
    "fdist pin": "tests/cli/test_fdist_commands.py",
    "fdist retry": "tests/cli/test_fdist_commands.py",
    "fdist standing set": "tests/cli/test_standing.py",
    "make bench-tls": "tests/docs/test_make.py",
    "make clean": "tests/docs/test_make.py",
    "make format": "tests/docs/test_make.py",
    "manage.py collectstatic": "fdist_site/management/commands/set_up.py",  # tests/coordinator/test_set_up.py
    "manage.py fill_record": "tests/api/test_query_counts.py",
    "manage.py set_up": "tests/coordinator/test_set_up.py",
    "manage.py submit": "tests/coordinator/test_commands.py",
    "python -m tests.bench.intake": "tests/docs/test_make.py",
    "python -m tests.bench.verify": "tests/docs/test_make.py",
    "python -m tests.played.surface": "tests/terraform/test_played.py",
}
# Of programs that are not ours, and that no test should or can call: what does it, or why not.
NOT_RUN = {
    "python -m tests.bench.streams": "a benchmark of a minute; what it measures is that of tests/api/test_streams.py",
    "python -m pytest": "these are the tests themselves",
    "uv pip compile": "it asks the package index, and makes requirements.lock anew",
    "modprobe tls": "it loads a module into the kernel of whoever runs the tests",
}


@dataclass(frozen=True)
class Inline:
    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def program(self) -> str:
        return self.text.split()[0]


def inline_commands(page: Path) -> Iterator[Inline]:
    """The spans of code outside of blocks that begin with a program and say what it is to do."""
    inside = False
    lines = []
    for line in page.read_text().splitlines():
        if FENCE.match(line):
            inside = not inside
        lines.append("" if inside or FENCE.match(line) else line)
    text = "\n".join(lines)
    for span in SPAN.finditer(text):
        words = span[1].split()
        if len(words) > 1 and words[0] in (*PLAYED, *OURS, *OTHERS):
            yield Inline(page, text[: span.start()].count("\n") + 1, " ".join(words))


def examples(page: Path) -> Iterator[Inline]:
    """The commands in the text blocks of the reference, which is made of the help's own words."""
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if FENCE.match(line):
            inside = line.strip() == "```text"
            continue
        said = re.sub(r"^ *(?:(?:bash|zsh|fish): +|\S.* \| )?", "", line)  # its shell, or what is piped to it
        words = re.split(r" {3,}", said)[0].split()  # what follows a gap explains
        ours = words[:1] and (words[0] in ("fdist", "manage.py") or words[0] in get_commands())
        if inside and ours:
            yield Inline(page, number, " ".join(words if words[0] in ("fdist", "manage.py") else ["manage.py", *words]))


def key(words: list[str]) -> str:
    """A command of ours without its values: `fdist nodes drain`, `manage.py enrolment_key make`, `make deploy`."""
    name = Path(words[0]).name
    if name in ("python", "python3") and words[1:2] == ["manage.py"]:
        words, name = words[1:], "manage.py"
    if name == "manage.sh":
        name = "manage.py"
    if name in ("python", "python3") and words[1:2] == ["-m"]:
        return f"python -m {words[2]}"
    if name == "fdist":
        return " ".join(["fdist", *_subcommands(words[1:])])
    if name == "manage.py" and len(words) > 1 and words[1] in get_commands():
        actions = words[2:3] if words[1] in WITH_ACTIONS and len(words) > 2 and words[2].islower() else []
        return " ".join([name, words[1], *actions])
    if name == "make":
        return " ".join(["make", *(word for word in words[1:2] if "=" not in word)])
    return name


def _subcommands(words: list[str]) -> Iterator[str]:
    from fdist_site.cli.main import cli

    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group) or word not in command.commands:
            return
        command = command.commands[word]
        yield word
