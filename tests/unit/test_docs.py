"""The documents agree with the code: what they name exists, and the tables of settings and dependencies are whole."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands

from fdist_site.known_variables import VARIABLES
from transfers.planning import parse_manifest, parse_source
from transfers.scheduler import scripts

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r'(?:src|srcset)="([^"]+)"')
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
OUR_PATH = re.compile(r"(?:fdist_site|nodes|transfers|tests|templates|docs|lua)/[\w./-]+")
ROW = re.compile(r"^\| (`[a-zA-Z].*?) \|", re.MULTILINE)

CODE_FOLDERS = ("fdist_site", "nodes", "transfers")
READERS = {
    "database",
    "text",
    "required",
    "int",
    "integer",
    "seconds",
    "flag",
    "rate",
    "size",
    "get",
    "str",
    "bool",
    "list",
    "path",
    "dj_db_url",
    "getenv",
    "choice",
    "names",
    "address",
    "matching",
    "folder",
    "secret",
    "hosts",
    "origins",
    "time_zone",
    "request_rate",
}
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        repeated = sum(name == plain or re.fullmatch(rf"{re.escape(plain)}-\d+", name) is not None for name in found)
        found.add(f"{plain}-{repeated}" if repeated else plain)
    return found


def problem(page: Path, target: str) -> str:
    """What is wrong with a link of a page; nothing for one that leads outside, which no test should follow."""
    if re.match(r"[a-z]+:", target):
        return ""
    path, _, anchor = target.partition("#")
    place = (page.parent / path).resolve() if path else page
    if not place.is_relative_to(PROJECT) or not place.exists():
        return f"{target}: there is no such file"
    if anchor and anchor not in anchors(place):
        return f"{target}: the page has no such heading"
    return ""


@pages
def test_every_link_and_image_leads_somewhere(page: Path) -> None:
    text = prose(page)
    wrong = [problem(page, target) for target in [*LINK.findall(text), *IMAGE.findall(text)]]
    assert [each for each in wrong if each] == []


def test_a_broken_link_is_noticed() -> None:
    readme = PROJECT / "README.md"
    assert problem(readme, "docs/mesh.md#the-reaper") == ""
    assert problem(readme, "docs/nothing.md")
    assert problem(readme, "docs/mesh.md#no-such-heading")
    assert problem(readme, "../elsewhere.md")


def test_every_document_is_in_the_index() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(prose(index))}
    assert [page.name for page in PAGES if page != index and page not in linked] == []


@pages
def test_every_command_exists(page: Path) -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", page.read_text()))
    assert named - set(get_commands()) == set()


@pages
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    spans = " ; ".join([*CODE.findall(text), *re.findall(r"^    (make .*)$", text, re.MULTILINE)])
    assert set(re.findall(r"\bmake ([a-z]+)", spans)) - targets == set()


@pages
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = {span for span in CODE.findall(prose(page)) if OUR_PATH.fullmatch(span)}
    roots = (PROJECT, PROJECT / "transfers" / "scheduler")
    assert [name for name in sorted(named) if not any((root / name).exists() for root in roots)] == []


@cache
def variables_read() -> frozenset[str]:
    """The environment variables that the code reads by their names."""
    return frozenset(_variables_read())


def _variables_read() -> Iterator[str]:
    for path in [file for folder in CODE_FOLDERS for file in (PROJECT / folder).rglob("*.py")]:
        for call in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]:
            first = call.args[0] if call.args else None
            if (
                isinstance(call.func, ast.Attribute)
                and call.func.attr in READERS
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
                and VARIABLE.fullmatch(first.value)
            ):
                yield first.value


def first_cells(page: Path) -> set[str]:
    """The names in code that stand in the first column of a page's tables."""
    return {name for cell in ROW.findall(prose(page)) for name in CODE.findall(cell)}


def test_the_settings_table_has_every_variable_that_the_code_reads_and_no_other() -> None:
    read = variables_read()
    assert {"REDIS_URL", "DATABASE_URL", "FDIST_NODE_NAME", "FDIST_DEBUG", "FDIST_GCS_SERVER"} <= read
    assert first_cells(DOCS / "settings.md") == read
    assert {name for name in read if name.startswith("FDIST_")} == set(VARIABLES)


@pages
def test_every_variable_of_ours_that_is_named_is_read(page: Path) -> None:
    assert set(re.findall(r"\bFDIST_[A-Z_]+[A-Z]\b", page.read_text())) - variables_read() == set()


def test_the_dependencies_page_has_every_dependency_and_no_other() -> None:
    data = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = data["project"]["dependencies"] + [each for group in data["dependency-groups"].values() for each in group]
    assert first_cells(DOCS / "dependencies.md") == {re.split(r"[\[<>=!~; ]", each)[0] for each in wanted}


def test_the_page_on_the_mesh_has_every_script() -> None:
    assert set(scripts.names()) - first_cells(DOCS / "mesh.md") == set()


def test_the_example_of_a_manifest_can_be_read() -> None:
    example = re.search(r"```json\n(.*?)```", (DOCS / "sources.md").read_text(), re.DOTALL)
    assert example is not None
    manifest = parse_manifest(example[1], parse_source("gs://weights/cut/model.fdist.json"))
    assert [(shard.bucket, shard.name) for shard in manifest.shards()] == [
        ("weights", "cut/shards/model-00000"),
        ("other-bucket", "model-00001"),
    ]


def test_pictures_are_small() -> None:
    assert [path.name for path in DOCS.rglob("*.png") if path.stat().st_size > 300_000] == []
