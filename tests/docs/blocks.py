"""The fenced blocks of a page, and what the page says of running them.

Blocks of `sh`, `bash`, `console` and `python` are run by test_commands.py, in order, against a real fleet; lines that
elsewhere.py lists are left out. A comment on the line before says what a run has to know:

    <!-- keeps running: text -->            started, and left running to the page's end; ready when it prints the text
    <!-- exits: 8 -->                       it ends with this status
    <!-- after Ctrl-C: where -->            before it, what the page left running is ended
    <!-- typed: one, two -->                what the person types, a line each; $NAME is a variable's value
    <!-- run with: long => short -->        words that are replaced, so that it takes a second; `; ` between several
    <!-- in: NAME=value -->                 a variable that is set for this block alone

A `console` block has commands after `$ ` and below each what it prints: digits may differ, and `...` stands for
anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.docs.elsewhere import left_out

SHELL = ("sh", "bash", "console")
RUN = (*SHELL, "python")
FENCE = re.compile(r"^( *)```([\w+-]*)")
INDENTED = re.compile(r"^ {4}\S")
MARK = re.compile(r"<!-- (keeps running|exits|after Ctrl-C|typed|run with|in): (.+?) -->")


@dataclass(frozen=True)
class Block:
    """language: of the fence; "sh" for an indented block, which is how commands may be shown as well."""

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""
    said: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether the page's own run has something of it to do."""
        return self.language == "python" or (self.language in SHELL and bool(self.commands.strip()))

    @cached_property
    def commands(self) -> str:
        """What a shell gets: what is shown, without the lines that are run elsewhere. What the page says how to keep
        running is run here, too."""
        lines, out = [], False
        goes_on = False
        for line in self.shown_commands.splitlines():
            out = out if goes_on else self.mark != "keeps running" and left_out(line) is not None
            goes_on = line.endswith("\\")
            if not out:
                lines.append(line)
        text = "\n".join(lines)
        if self.mark == "run with":
            for change in self.said.split("; "):
                long, _, short = change.partition(" => ")
                assert long in text, f"{self}: {long!r} is not in the block"
                text = text.replace(long, short)
        return text

    @cached_property
    def shown_commands(self) -> str:
        """Of a console block the lines after `$ `, with those that they go on with; else all of it."""
        if self.language != "console":
            return self.text
        lines, goes_on = [], False
        for line in self.text.splitlines():
            if line.startswith("$ ") or goes_on:
                lines.append(line.removeprefix("$ "))
                goes_on = line.endswith("\\")
        return "\n".join(lines)

    @cached_property
    def shown(self) -> list[str]:
        """What a console block says that its commands print."""
        if self.language != "console":
            return []
        lines, goes_on = [], False
        for line in self.text.splitlines():
            if line.startswith("$ ") or goes_on:
                goes_on = line.endswith("\\")
            elif line.strip():
                lines.append(line)
        return lines


def blocks(page: Path) -> Iterator[Block]:
    """Every block of a page, in order."""
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        start = number
        if fence := FENCE.match(lines[number]):
            number = next((n for n in range(start + 1, len(lines)) if lines[n].strip() == "```"), len(lines))
            text = "\n".join(line.removeprefix(fence[1]) for line in lines[start + 1 : number])
            yield _block(page, start, fence[2], text, lines)
        elif INDENTED.match(lines[number]) and not lines[start - 1].strip() and not _in_a_list(lines, start):
            while number + 1 < len(lines) and (lines[number + 1].startswith("    ") or not lines[number + 1].strip()):
                number += 1
            text = "\n".join(line[4:] for line in lines[start : number + 1]).rstrip()
            yield _block(page, start, "sh", text, lines)
        number += 1


def _block(page: Path, start: int, language: str, text: str, lines: list[str]) -> Block:
    before = next((line for line in reversed(lines[:start]) if line.strip()), "")
    mark = MARK.search(before)
    return Block(page, start + 1, language, text, *(mark.groups() if mark else ("", "")))


def _in_a_list(lines: list[str], start: int) -> bool:
    before = next((line for line in reversed(lines[:start]) if line.strip()), "")
    return re.match(r" *(-|\d+\.) |  +", before) is not None


def looks_like(shown: str, printed: str) -> bool:
    """Whether a line that a page shows is what was printed: numbers and spaces may differ, `...` is anything."""
    pattern = ""
    for part in re.split(r"(\.\.\.|\b[0-9a-f]{8,}\b|[\d.,]*\d|\s+)", shown.strip()):
        if part == "...":
            pattern += ".*"
        elif re.fullmatch(r"[0-9a-f]{8,}", part):
            pattern += r"[0-9a-f-]+"
        elif re.fullmatch(r"[\d.,]*\d", part):
            pattern += r"[\d.,]*\d"
        elif part.isspace():
            pattern += r"\s+"
        else:
            pattern += re.escape(part)
    return re.fullmatch(pattern, printed.strip()) is not None


def missing_lines(shown: list[str], printed: str) -> list[str]:
    """Those lines of what a page shows that were not printed, in this order; a line of only `...` is anything."""
    left = iter(printed.splitlines())
    return [line for line in shown if line.strip() != "..." and not any(looks_like(line, each) for each in left)]
