"""The site of the documents: it builds, what is wrong ends the build, and it loads nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_docs import DOCS, PROJECT

LOADED = re.compile(r'<(?:script|img|source|iframe)[^>]+?src="([^"]+)"|<link[^>]+?href="([^"]+)"|url\(([^)]+)\)')


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does it."""
    recipe = re.search(r"sphinx-build (.*) -b html docs site", (PROJECT / "Makefile").read_text())
    assert recipe is not None
    argv = [sys.executable, "-m", "sphinx", *recipe[1].split(), "-b", "html", str(docs), str(site)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(DOCS, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_site_and_in_its_side_bar(site: Path) -> None:
    index = (site / "index.html").read_text()
    side_bar = re.search(r'<div class="sidebar-tree">.*?</aside>', index, re.DOTALL)
    assert side_bar is not None
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix(".html").as_posix()
        assert (site / name).exists()
        assert name == "README.html" or f'href="{name}"' in side_bar[0], name
    for heading in ("Tutorial", "How-to guides", "Reference", "Explanation"):
        assert heading in side_bar[0]


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        loaded = {next(filter(None, found)).strip("'\"") for found in LOADED.findall(page.read_text())}
        assert [each for each in loaded if re.match(r"(https?:)?//", each)] == [], page


def test_the_schema_of_the_api_comes_with_the_site(site: Path) -> None:
    assert [path.name for path in site.rglob("openapi.yaml")]


def test_what_is_wrong_with_a_page_ends_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "project" / "docs"
    shutil.copytree(DOCS, docs)
    with (docs / "plan.md").open("a") as page:
        page.write("\n[a](nowhere.md) [b](mesh.md#no-such-heading) [c](#not-here)\n\n![d](images/none.png)\n")
    (docs / "lonely.md").write_text("# In no list\n")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    for fault in ("nowhere.md", "no-such-heading", "not-here", "images/none.png", "lonely.md"):
        assert fault in done.stderr, fault
