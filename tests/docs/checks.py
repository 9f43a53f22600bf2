"""Looks at commands without running them: the program exists, the command too, and it knows the options."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
from django.core.management import CommandError, get_commands, load_command_class
from django.urls import Resolver404, resolve

PROJECT = Path(__file__).resolve().parents[2]
ENDS = {";", "&&", "||", "|", "(", ")", "&", ";;"}
WORDS_OF_THE_SHELL = {"do", "then", "else", "if", "while", "until", "!", "{", "}", "done", "fi", "exec"}
# Programs of others, which a page may show; whether their options are right is for whoever writes the page.
FOREIGN = {
    *(".", "[", "[[", "cd", "echo", "export", "for", "printf", "pwd", "read", "set", "source", "test", "true", "unset"),
    *("eval", "readlink"),
    *("awk", "base64", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "du", "find", "grep", "head", "jq"),
    *("install", "ls", "mkdir", "mount", "mv", "rm", "rsync", "sed", "sha256sum", "sleep", "sort", "tail", "tar"),
    *("tee", "touch", "umask", "uniq", "useradd", "wc"),
    *("apt-get", "docker", "git", "journalctl", "kill", "kubectl", "ping", "ss", "ssh", "scp", "su"),
    *(
        "crontab",
        "gpg",
        "gunzip",
        "gzip",
        "iptables",
        "nft",
        "nginx",
        "openssl",
        "sysctl",
        "timedatectl",
        "uname",
        "zstd",
    ),
    *("systemctl", "gcloud", "gsutil", "promtool", "redis-cli", "valkey-cli", "redis-server", "valkey-server"),
    *("createdb", "createuser", "dropdb", "pg_dump", "pg_restore", "psql"),
}
CHANGES_THE_MACHINE = {*("apt-get", "docker", "git", "gsutil", "kubectl", "mount", "scp", "ssh", "su", "useradd")}
PLAYED = {"gcloud", "terraform", "systemctl", "journalctl", "systemd-run", "sudo"}  # while they are found by PATH
MAKES_NOTHING_LASTING = ("alerts", "bench", "bench-tls", "deploy", "demo", "destroy", "help", "upgrade", "-n")
TERRAFORM = ("init", "plan", "apply", "destroy", "fmt", "validate", "test", "state", "import")


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell text, as words; what is substituted within quotes is not looked at."""
    pending = ""
    for line in text.replace("\\\n", " ").splitlines():
        pending = f"{pending}\n{line}" if pending else line
        lexer = shlex.shlex(pending, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quotation that goes on in the next line
            continue
        pending = ""
        yield from _split(words)
    assert not pending, f"a quotation has no end: {pending}"


def _split(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    skipped = False
    for word in [*words, ";"]:
        if word in ENDS:
            if command := _without_prefix(command):
                yield command
            command = []
        elif set(word) <= set("<>&") or re.fullmatch(r"\d?>+&?\d?", word):
            skipped = True  # the file of a redirection comes next
        elif skipped:
            skipped = False
        else:
            command.append(word)


def _without_prefix(command: list[str]) -> list[str]:
    while command and (re.match(r"[A-Za-z_]+=", command[0]) or command[0] in WORDS_OF_THE_SHELL):
        command = command[1:]
    return [word for word in command if word != "$"]


def without_sudo(command: list[str]) -> list[str]:
    """What is done, whoever does it."""
    if command[0] != "sudo":
        return command
    return command[3:] if command[1] == "-u" else command[1:]


def not_to_be_run(command: list[str]) -> str:
    """Why a test must not run a command, whatever its page says; nothing for most."""
    program, rest = Path(command[0]).name, command[1:]
    if program in PLAYED and command[0] != program:
        return f"`{command[0]}` is the machine's own, and not what plays it"
    if program == "sudo" and (said := not_to_be_run(without_sudo(command))):
        return said
    if program == "make" and rest[:1] and rest[0] not in MAKES_NOTHING_LASTING:
        return f"`{' '.join(command)}` builds or tests"
    if program in CHANGES_THE_MACHINE or (program == "rm" and any(word in ("/", "~") for word in rest)):
        return f"`{program}` changes the machine"
    return ""


def problem(command: list[str]) -> str:
    """What is wrong with a command; nothing when it could be run."""
    program, rest = command[0], command[1:]
    if program == "sudo":
        return problem(without_sudo(command))
    name = Path(program).name
    if name == "make":
        return make(rest)
    if name == "fdist":
        return fdist(rest)
    if name in ("python", "python3") and rest[:1] == ["manage.py"]:
        return manage(rest[1:])
    if name in ("manage.py", "manage.sh"):
        return manage(rest)
    if name in ("python", "python3") and rest[:1] == ["-c"]:
        return ""
    if name in ("python", "python3") and rest[:1] == ["-m"]:
        return module(rest[1], rest[2:])
    if name == "curl":
        return curl(rest)
    if name == "terraform":
        return terraform(rest)
    if name == "celery" or name in FOREIGN:
        return ""
    return f"{program}: tests/docs/checks.py does not know this program"


@cache
def variables_of_make() -> frozenset[str]:
    return frozenset(re.findall(r"\$(?:\(|\$)(\w+)", (PROJECT / "Makefile").read_text()))


def make(arguments: list[str]) -> str:
    unknown = [word for word in arguments if "=" in word and word.split("=")[0] not in variables_of_make()]
    if unknown:
        return f"make: the Makefile does not use {unknown}"
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=30
    )
    if done.returncode:
        return f"make {arguments}: {done.stderr}"
    if (given := [word for word in arguments if word.startswith("ARGS=")]) and given[0] != "ARGS=":
        return next(filter(None, map(problem, commands(done.stdout.replace("@", "").splitlines()[-1]))), "")
    return ""


def fdist(arguments: list[str]) -> str:
    from fdist_site.cli.main import cli

    command: click.Command = cli
    context = cli.make_context("fdist", [*arguments] or ["--help"], resilient_parsing=True)
    try:
        while isinstance(command, click.Group):
            left = [*context._protected_args, *context.args]
            if not left:
                return ""
            name, found, rest = command.resolve_command(context, list(left))
            if found is None:
                return f"fdist {name}: there is no such command"
            command = found
            if {"--help", "-h"} & set(rest):
                return ""
            context = command.make_context(name, rest, parent=context)
    except click.ClickException as error:
        return f"fdist {' '.join(arguments)}: {error.format_message()}"
    return ""


def manage(arguments: list[str]) -> str:
    if not arguments or arguments[0] not in get_commands():
        return f"manage.py {arguments}: there is no such command"
    name = arguments[0]
    app = get_commands()[name]
    command = app if not isinstance(app, str) else load_command_class(app, name)
    parser = command.create_parser("manage.py", name)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parser.parse_args(arguments[1:])
    except (CommandError, SystemExit, argparse.ArgumentError) as error:
        return (
            "" if isinstance(error, SystemExit) and not error.code else f"manage.py {name}: {error} {said.getvalue()}"
        )
    return ""


@cache
def help_of(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", name, "--help"], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    return done.stdout if not done.returncode else ""


def module(name: str, arguments: list[str]) -> str:
    if not name.startswith(("tests", "fdist_site", "nodes", "transfers")):
        return ""
    said = help_of(name)
    if not said:
        return f"python -m {name} --help does not work"
    unknown = [word for word in arguments if word.startswith("--") and word.split("=")[0] not in said]
    return f"python -m {name} does not know {unknown}" if unknown else ""


def curl(arguments: list[str]) -> str:
    """An address of ours leads somewhere."""
    for word in arguments:
        if found := re.match(r"https?://(?:127\.0\.0\.1:8000|fdist\.example\.org)(/[^?#]*)", word):
            path = re.sub(r"\$\{?JOB\}?|(?<=/)JOB(?=/)", "0" * 32, found[1])
            try:
                found_view = resolve(re.sub(r"\$\{?\w+\}?", "1", path)).func
                view = getattr(found_view, "cls", found_view).__name__
            except Resolver404:
                view = ""
            if view in ("", "nothing_here"):
                return f"curl: the site has no {path}"
    return ""


def terraform(arguments: list[str]) -> str:
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] == ["output"] and len(words) > 1:
        outputs = (PROJECT / "terraform" / "outputs.tf").read_text()
        return "" if f'output "{words[1]}"' in outputs else f"terraform: there is no output {words[1]}"
    return "" if words[:1] and words[0] in TERRAFORM else f"terraform {words}: there is no such command"
