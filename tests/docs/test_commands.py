"""Each command in the documents is run against a real fleet, or looked at where the page says why it is not run."""

from __future__ import annotations

import configparser
import json
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import checks
from tests.docs.blocks import RUN, SHELL, Block, blocks, looks_like, missing_lines
from tests.docs.stage import Stage, page_run
from tests.postgresql import MISSING, is_installed
from tests.unit.test_docs import PAGES, PROJECT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ALL = {page: list(blocks(page)) for page in PAGES}
WITH_COMMANDS = [page for page, found in ALL.items() if any(block.is_run for block in found)]
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
def test_commands_that_no_test_should_run_are_marked(page: Path) -> None:
    """Mark a block by `<!-- not run: why -->` on the line before it; tests/docs/blocks.py has the other marks."""
    assert not_to_be_run(page) == []


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page_work_in_their_order(page: Path, stage: Stage) -> None:
    assert not_to_be_run(page) == []
    if page.name == "postgresql.md" and not is_installed():
        pytest.skip(MISSING)
    with page_run(stage, name_of(page), without_settings=page.name == "tutorial.md") as run:
        for block in ALL[page]:
            if block.is_run:
                run.run(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_that_are_not_run_exist_and_know_their_options(page: Path) -> None:
    found = []
    for block in ALL[page]:
        named = checks.commands(block.commands) if block.language in SHELL and not block.is_run else ()
        found += [f"{block}: {said}" for each in [*named, *commands_within(block)] if (said := checks.problem(each))]
    assert found == []


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

    with page_run(stage, "faults") as run:
        run.run(Block(tmp_path / "page.md", 1, "sh", "export WORD=kept"))
        run.run(Block(tmp_path / "page.md", 2, "console", "$ echo $WORD 17\nkept 4"))
        assert "status 1" in fault("sh", "false\ntrue")
        assert "status 22" in fault("sh", 'curl -H "Authorization: Token $TOKEN" http://127.0.0.1:8000/api/v1/jobs/9/')
        assert "status 1" in fault("python", "raise SystemExit(1)")
        assert "status 0" in fault("sh", "true", "exits", "8")
        assert "not printed: ['lost 4']" in fault("console", "$ echo $WORD 17\nlost 4")
        assert "ended" in fault("sh", "echo ready", "keeps running", "not said")
        run.running.clear()


def test_marks_and_output_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n```console\n$ fdist jobs \\\n    --json\n{...\n```\n\n<!-- not run: why -->\n```sh\nrm -rf /\n```\n\n"
        "text\n\n    make lint\n\n- a list\n\n    not code\n\n<!-- exits: 8 -->\n```sh\nfalse\n```\n"
    )
    found = list(blocks(page))
    assert [(block.line, block.mark, block.is_run) for block in found] == [
        (3, "", True),
        (10, "not run", False),
        (16, "", True),
        (23, "exits", True),
    ]
    assert found[0].commands == "fdist jobs \\\n    --json"
    assert found[0].shown == ["{..."]
    assert looks_like("job 3f2a9c01 took 1.5 s, 4 of 4 nodes", "job 00c1d2ff99 took 12 s,  6 of 6 nodes")
    assert not looks_like("4 of 4 nodes", "4 of 4 nodes failed")
    assert missing_lines(["a 1", "...", "b"], "x\na 22\ny\nb") == []
    assert missing_lines(["b", "a 1"], "a 22\nb") == ["a 1"]
