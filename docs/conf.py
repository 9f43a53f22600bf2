"""The site that `make docs` builds with Sphinx from these pages, which are plain Markdown as a git host shows it.

What a site needs beyond that is made here: the navigation is the list in README.md, heading by heading, and a link that
leaves this folder becomes the name of the file, since the site has not that file. A page that is not in the list, a
link without a target and a heading that is gone end the build.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
INDEX = "README"

project = "fdist"
author = "the authors of fdist"
root_doc = INDEX
extensions = ["myst_parser"]
exclude_patterns: list[str] = []
nitpicky = True
myst_heading_anchors = 4
html_theme = "furo"
html_title = "fdist"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]

FENCED = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)]*)?\)")
SECTION = re.compile(r"^## +(.+?) *$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^(?:-|\d+\.) +\[[^\]]*\]\(([^)\s#]+)\.md\)", re.MULTILINE)


def navigation(index: str) -> str:
    """The trees of the site's side bar, hidden in the index: one for each heading, with the pages that it lists."""
    trees = []
    for heading, body in SECTION.findall(index):
        if pages := [page for page in ENTRY.findall(body) if not page.startswith("..")]:
            trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```"]))
    return "\n\n".join(trees)


def without_links_out(page: Path, text: str) -> str:
    """The page with links to files outside of docs/ as their names."""

    def replaced(link: re.Match[str]) -> str:
        words, target = link[1], link[2]
        place = (page.parent / target).resolve()
        if re.match(r"[a-z+]+:", target) or place.is_relative_to(DOCS) or not place.exists():
            return link[0]
        name = place.relative_to(DOCS.parent).as_posix()
        return f"`{name}`" if words in (name, place.name) else f"{words} (`{name}`)"

    parts = FENCED.split(text)
    return "".join(part if FENCED.fullmatch(part) else LINK.sub(replaced, part) for part in parts)


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Called for each page before it is parsed."""
    source[0] = without_links_out(DOCS / f"{name}.md", source[0])
    if name == INDEX:
        source[0] += "\n\n" + navigation(source[0])


def finished(app: Sphinx, error: Exception | None) -> None:
    """A web server and a browser look for index.html."""
    if error is None:
        shutil.copyfile(Path(app.outdir) / f"{INDEX}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.connect("build-finished", finished)
