"""A machine's service manager and journal, for the units that our start-up scripts install, and root's own programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.played.installed import SCRIPTS, units
from tests.played.programs import Answer, Call, Refused

VERBS = {"status", "is-active", "start", "stop", "restart", "kill"}  # of systemctl, of those that name units
FLAGS_OF_SYSTEMCTL = {"--no-pager", "--quiet", "-q", "--full", "-l", "--lines", "-n", "--no-block", "--signal", "-s"}
# Where the real journalctl is missing: those of its flags that a document may use, and whether they take a value.
FLAGS_OF_JOURNALCTL = {
    **dict.fromkeys(("-u", "--unit", "-S", "--since", "-U", "--until", "-n", "--lines", "-o", "--output", "-p"), True),
    **dict.fromkeys(("-f", "--follow", "-e", "--pager-end", "-r", "--reverse", "--no-pager", "-b", "-k"), False),
}


def known(program: str, unit: str) -> str:
    """The unit's name without its suffix; raises Refused for one that no machine of ours has."""
    name = unit.removesuffix(".service")
    if name not in units():
        raise Refused(f"Unit {unit} could not be found: no start-up script of terraform/scripts starts it")
    return name


def systemctl(call: Call) -> Answer:
    flags = [word for word in call.arguments if word.startswith("-")]
    words = [word for word in call.arguments if not word.startswith("-")]
    if unknown := [flag for flag in flags if flag.partition("=")[0] not in FLAGS_OF_SYSTEMCTL]:
        raise Refused(f"unrecognized option '{unknown[0]}'")
    if not words or words[0] not in VERBS:
        raise Refused(f"Unknown command verb {' '.join(words[:1])!r}, or one that names no unit")
    named = [known("systemctl", unit) for unit in words[1:]]
    if not named:
        raise Refused("Too few arguments.")
    if words[0] != "status":
        return Answer()
    return Answer("".join(f"● {name}.service\n     Active: active (running)\n" for name in named))


def journalctl(call: Call) -> Answer:
    """The real journalctl reads the rest of the command line, with a journal that is empty, where there is one."""
    named = [
        word for before, word in zip(call.arguments, call.arguments[1:], strict=False) if before in ("-u", "--unit")
    ]
    named += [word.partition("=")[2] for word in call.arguments if word.startswith("--unit=")]
    for unit in named:
        known("journalctl", unit)
    if (real := shutil.which("journalctl", path=os.defpath)) is not None:
        with tempfile.TemporaryDirectory() as empty:
            argv = [real, f"--directory={empty}", "--no-pager", *(word for word in call.arguments if word != "-f")]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return Answer(done.stdout)
    left = list(call.arguments)
    while left:
        flag, has_value, _ = left.pop(0).partition("=")
        if flag not in FLAGS_OF_JOURNALCTL:
            raise Refused(f"unrecognized option or match: {flag!r}")
        if FLAGS_OF_JOURNALCTL[flag] and not has_value and not (left and left.pop(0)):
            raise Refused(f"option '{flag}' requires an argument")
    return Answer("-- No entries --\n")


def sudo(environment_of: Callable[[str], Mapping[str, str]]) -> Callable[[Call], Answer]:
    """sudo, which stays who it is. environment_of: with which another account's programs run, by its name."""

    def play(call: Call) -> Answer:
        words = list(call.arguments)
        account = "root"
        if words[:1] == ["-u"] and len(words) > 1:
            account, words = words[1], words[2:]
        if not words or words[0].startswith("-"):
            raise Refused(f"what of {call.arguments} is the command?")
        return Answer(run=words, environment=environment_of(account))

    return play


def systemd_run(project: Path, environment_of_unit: Mapping[str, str]) -> Callable[[Call], Answer]:
    """systemd-run, as terraform/scripts/manage.sh calls it: with what fdist-web.service has.

    project: where /opt/fdist is on this machine. environment_of_unit: what is in the unit's environment file.
    """
    unit = (SCRIPTS / "units" / "fdist-web.service").read_text()

    def of_unit(name: str) -> str:
        found = re.search(rf"^{name}=(.+)$", unit, re.MULTILINE)
        assert found is not None, name
        return found[1]

    def play(call: Call) -> Answer:
        wanted = {
            "--uid": of_unit("User"),
            "--working-directory": of_unit("WorkingDirectory"),
            "--property": f"EnvironmentFile={of_unit('EnvironmentFile')}",
        }
        words = list(call.arguments)
        told = {}
        while words and words[0].startswith("-"):
            name, _, value = words.pop(0).partition("=")
            if name not in {*wanted, "--quiet", "--pipe", "--wait", "--collect"}:
                raise Refused(f"unrecognized option '{name}'")
            told[name] = value
        for name, value in wanted.items():
            if told.get(name) != value:
                raise Refused(f"{name} is {told.get(name)!r}, and the unit has {value!r}")
        program = of_unit("ExecStart").split()[0]
        if words[:2] != [program, "manage.py"]:
            raise Refused(f"{words[:2]} is not what the unit runs")
        mapped = words[0].replace(wanted["--working-directory"], str(project))
        return Answer(run=[mapped, str(project / "manage.py"), *words[2:]], environment=environment_of_unit)

    return play
