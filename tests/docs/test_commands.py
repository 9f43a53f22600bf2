"""Each command in the documents is run: page by page, in order, against a real fleet.

What needs a cloud, or a service manager, is run against stand-ins that refuse what is not there, tests/played.
tests/docs/elsewhere.py and inline.py have the few that other tests run, or that nothing does, each with the reason.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import checks, inline
from tests.docs.blocks import RUN, SHELL, Block, blocks, looks_like, missing_lines
from tests.docs.elsewhere import CI, ELSEWHERE
from tests.docs.inline import Inline, inline_commands
from tests.docs.stage import Stage, page_run
from tests.unit.test_docs import PAGES, PROJECT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ALL = {page: list(blocks(page)) for page in PAGES}
INLINE = {page: list(inline_commands(page)) for page in PAGES}
PLAYED = {page: [each for each in found if each.program in inline.PLAYED] for page, found in INLINE.items()}
WITH_COMMANDS = [page for page in PAGES if PLAYED[page] or any(block.is_run for block in ALL[page])]
REFERENCE = PROJECT / "docs" / "reference"
DONE: dict[Path, list[str]] = {}  # of the pages that were run: the blocks that were, or were skipped for a reason
OTHERS = "conf diff dockerfile hcl html http ini json lua nginx promql sql text toml yaml"
LANGUAGES = {*RUN, *OTHERS.split()}


def name_of(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("documents"))
    with made.closing, made.fleet:
        made.start()
        yield made


def not_to_be_run(page: Path) -> list[str]:
    """Commands of a page that no test should run, with the reasons, although the page does not say so."""
    run = [block for block in ALL[page] if block.is_run and block.language in SHELL]
    found = [(block, checks.not_to_be_run(each)) for block in run for each in checks.commands(block.commands)]
    return [f"{block}: {reason}" for block, reason in found if reason]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_would_change_the_machine_that_runs_the_tests(page: Path) -> None:
    assert not_to_be_run(page) == []


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page_work_in_their_order(page: Path, stage: Stage) -> None:
    assert not_to_be_run(page) == []
    skipped = {}
    done = DONE[page] = []
    with page_run(stage, page, name_of(page)) as run:
        for block in [*ALL[page], *(Block(each.page, each.line, "sh", each.text) for each in PLAYED[page])]:
            if not block.is_run:
                continue
            if reason := stage.missing(block):
                skipped[str(block)] = reason
            else:
                run.run(block)
            done.append(str(block))
    if skipped:
        pytest.skip(f"all but {', '.join(skipped)}: {' '.join(set(skipped.values()))}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist_and_know_their_options(page: Path) -> None:
    """Also those that are run elsewhere, or with other values, and those in the files that a page shows."""
    found = []
    for block in ALL[page]:
        named = checks.commands(block.shown_commands) if block.language in SHELL else ()
        found += [f"{block}: {said}" for each in [*named, *commands_within(block)] if (said := checks.problem(each))]
    assert found == []


COMMAND_LINE = re.compile(
    r"^(?:\$ |(?:sudo )?(?:fdist|make|\S*manage\.(?:py|sh)|gcloud|terraform|redis-cli|psql|systemctl|journalctl) )(?! )"
)


def unrun(page: Path) -> list[str]:
    """The blocks of a page that show commands and belong to no run, with why."""
    found = {block.line: block for block in ALL.get(page, []) or blocks(page)}
    said = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.search(r"```([\w+-]+)", line)
        if fence and fence[1] in (*RUN, "shell", "zsh") and number not in found:
            said.append(f"{page.name}:{number}: tests/docs/blocks.py does not see this block, so nothing runs it")
        if re.search(r"<!-- *(not run|commands are not run)", line):
            said.append(f"{page.name}:{number}: every command is run; tests/docs/elsewhere.py has the exceptions")
    for block in found.values():
        if block.language not in RUN and page.parent != REFERENCE:
            lines = [each for each in block.text.splitlines() if COMMAND_LINE.match(each)]
            said += [f"{block}: `{each}` is run by no test; blocks of `sh` and `console` are" for each in lines[:1]]
    return said


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_block_belongs_to_a_run(page: Path) -> None:
    assert unrun(page) == []


def test_a_block_that_nothing_runs_is_named_with_its_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```text\nfdist jobs\n```\n\n> ```sh\n> make x\n> ```\n\n<!-- not run: no -->\n")
    said = unrun(page)
    assert len(said) == 3
    assert any("page.md:3: `fdist jobs` is run by no test" in each for each in said)
    assert any("page.md:7: " in each for each in said)
    assert any("page.md:11: every command is run" in each for each in said)


def test_every_block_was_run() -> None:
    """Last of what the pages' own runs did: nothing was passed over in silence."""
    if set(DONE) != set(WITH_COMMANDS):
        pytest.skip("not all pages were run")
    missed = {
        name_of(page): [str(block) for block in ALL[page] if block.is_run and str(block) not in DONE[page]]
        for page in WITH_COMMANDS
    }
    assert {name: blocks for name, blocks in missed.items() if blocks} == {}


@pytest.mark.parametrize("start", list(ELSEWHERE))
def test_what_is_run_elsewhere_is_run_there(start: str) -> None:
    found = ELSEWHERE[start]
    assert found.why
    if found.by == CI:
        assert re.search(rf"^{start}$", (PROJECT / CI).read_text(), re.MULTILINE), f"{CI} does not run `{start}`"
    elif found.by:
        place = PROJECT / found.by
        assert place.exists() and (not found.words or found.words in place.read_text()), f"{found.by}: {start}"


def covered() -> set[str]:
    """The commands of ours that some run has, without their values."""
    shown = [block.shown_commands for found in ALL.values() for block in found if block.language in SHELL]
    run = {inline.key(checks.without_sudo(words)) for text in shown for words in checks.commands(text)}
    return run | set(ELSEWHERE) | set(inline.COVERED)


@pytest.mark.parametrize("page", [page for page in PAGES if INLINE[page]], ids=name_of)
def test_every_command_in_a_sentence_belongs_to_a_run(page: Path) -> None:
    """Write it whole where it is of a program that is played; a command of ours has a block that shows it at work."""
    known = covered()
    assert [said for each in INLINE[page] if (said := without_a_run(each, known))] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == REFERENCE], ids=name_of)
def test_the_examples_of_the_help_exist_and_have_a_run(page: Path) -> None:
    known, found = covered(), list(inline.examples(page))
    for each in found:
        for words in checks.commands(each.text):
            assert not checks.problem(words), f"{each}: {checks.problem(words)}"
    assert [said for each in found if (said := without_a_run(each, known))] == []
    assert found or page.name not in ("cli.md", "manage.md")


def without_a_run(each: Inline, known: set[str]) -> str:
    words = each.text.split()
    if each.program in inline.PLAYED:
        return f"{each}: `{each.text}` is not whole, so it cannot be run" if "..." in each.text else ""
    if each.text.removeprefix(".venv/bin/").startswith(tuple(inline.NOT_RUN)):
        return ""
    found = inline.key(words)
    if any(start == found or start.startswith(f"{found} ") for start in known):
        return ""
    return f"{each}: `{each.text}`: no block and no test runs `{found}`; see tests/docs/inline.py"


@pytest.mark.parametrize("command", list(inline.COVERED))
def test_what_a_sentence_says_is_run_by_the_test_that_is_named(command: str) -> None:
    assert command.split()[-1] in (PROJECT / inline.COVERED[command]).read_text()


def commands_within(block: Block) -> Iterator[list[str]]:
    """Our commands in a systemd unit or a Kubernetes manifest; the file has to be whole, as JSON and TOML have to."""
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "yaml":
        for document in yaml.safe_load_all(block.text):
            yield from fdist_lists(document)
    elif block.language == "ini":
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.read_string(block.text if "[" in block.text else f"[variables]\n{block.text}")
        lines = [value for section in unit.sections() for key, value in unit[section].items() if key.startswith("exec")]
        yield from (words for line in lines if Path((words := shlex.split(line))[0]).name in ("fdist", "manage.py"))


def fdist_lists(value: Any) -> Iterator[list[str]]:
    if isinstance(value, list) and value[:1] == ["fdist"]:
        yield [str(each) for each in value]
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from fdist_lists(each)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is_in(page: Path) -> None:
    """After its first ```: `sh` and `console` for commands, `text` for what is none of the languages."""
    assert [str(block) for block in ALL[page] if block.language not in LANGUAGES] == []


def test_a_command_that_is_wrong_is_noticed() -> None:
    wrong = """
        make no-such-target
        make deploy PROJEKT=x
        make demo ARGS="--no-such-option"
        fdist pusch gs://weights/
        fdist push gs://weights/ --no-such-option
        fdist nodes drain
        sudo .venv/bin/python manage.py no_such_command
        .venv/bin/python manage.py enrolment_key lose
        NAME=1 .venv/bin/python -m tests.simulation even --no-such-option
        .venv/bin/python -m tests.no_such_module
        curl -H "Authorization: Token $TOKEN" http://127.0.0.1:8000/api/v1/no-such-thing/
        terraform -chdir=terraform output -raw no_such_output
        no-such-program
    """
    lines = [line.strip() for line in wrong.strip().splitlines()]
    found = {line: [checks.problem(each) for each in checks.commands(line)] for line in lines}
    assert [line for line, problems in found.items() if not any(problems)] == []
    right = """
        make deploy PROJECT=x NUM_SERVERS=3 && echo "done: $(date)" > log
        TOKEN=$(.venv/bin/python manage.py token ops) fdist wait gs://weights/ --on-this-node \\
            --timeout 30m | tee log
        curl -X POST -d '{"a":
            1}' "http://127.0.0.1:8000/api/v1/jobs/$JOB/cancel/"
    """
    assert [said for each in checks.commands(right) if (said := checks.problem(each))] == []
    assert [each[0] for each in checks.commands(right)][3:5] == ["fdist", "tee"]


def test_a_command_that_fails_or_prints_something_else_is_noticed(stage: Stage, tmp_path: Path) -> None:
    def fault(language: str, text: str, mark: str = "", said: str = "") -> str:
        with pytest.raises(AssertionError) as caught:
            run.run(Block(tmp_path / "page.md", 1, language, text, mark, said))
        return str(caught.value)

    with page_run(stage, tmp_path / "page.md", "faults") as run:
        run.run(Block(tmp_path / "page.md", 1, "sh", "export WORD=kept"))
        run.run(Block(tmp_path / "page.md", 2, "console", "$ echo $WORD 17\nkept 4"))
        assert "status 1" in fault("sh", "false\ntrue")
        assert "status 22" in fault("sh", 'curl -H "Authorization: Token $TOKEN" http://127.0.0.1:8000/api/v1/jobs/9/')
        assert "status 1" in fault("python", "raise SystemExit(1)")
        assert "status 0" in fault("sh", "true", "exits", "8")
        assert "not printed: ['lost 4']" in fault("console", "$ echo $WORD 17\nlost 4")
        assert "ended" in fault("sh", "echo ready", "keeps running", "not said")
        run.running.clear()
        assert "Unit fdist-plan could not be found" in fault("sh", "systemctl status fdist-plan")
        assert "Unit fdist-plan could not be found" in fault("sh", "echo $(journalctl -u fdist-plan)")


def test_marks_and_output_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n```console\n$ fdist jobs \\\n    --json\n{...\n```\n\n```sh\nmake test\n```\n\n"
        "text\n\n    make lint\n\n- a list\n\n    not code\n\n<!-- exits: 8 -->\n```sh\nfalse\n```\n"
    )
    found = list(blocks(page))
    assert [(block.line, block.mark, block.is_run) for block in found] == [
        (3, "", True),
        (9, "", False),
        (15, "", False),
        (22, "exits", True),
    ]
    assert found[0].commands == "fdist jobs \\\n    --json"
    assert found[0].shown == ["{..."]
    assert looks_like("job 3f2a9c01 took 1.5 s, 4 of 4 nodes", "job 00c1d2ff99 took 12 s,  6 of 6 nodes")
    assert not looks_like("4 of 4 nodes", "4 of 4 nodes failed")
    assert missing_lines(["a 1", "...", "b"], "x\na 22\ny\nb") == []
    assert missing_lines(["b", "a 1"], "a 22\nb") == ["a 1"]
