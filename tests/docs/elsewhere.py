"""Commands of the documents that the pages' own runs leave out, and what runs them instead. A short list, on purpose.

The reference has examples as the help shows them, as text. They are held to what exists, options and all, and each
command in them is one that a page's run or a test has.

A line of a block is left out when it begins with one of these; the rest of its block is run. So is an inline command
with such words. Everything else that a page shows is run by tests/docs/test_commands.py, page by page.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Elsewhere:
    """by: the file that runs it, which has `words` in it; "" where nothing does. why: the reason."""

    by: str
    why: str
    words: str = ""


CI = ".ci/run"
SMALL = "tests/docs/test_make.py"
MINUTES = "a benchmark of minutes on a quiet machine; the test gives it little to do"
ELSEWHERE = {
    "make test": Elsewhere(CI, "these are the tests themselves"),
    "make lint": Elsewhere(CI, "what CI checks beside the tests"),
    "make lint-terraform": Elsewhere(CI, "it fetches checkov, and CI runs it"),
    "make docs": Elsewhere(CI, "the site, which tests/docs/test_site.py builds too"),
    "make setup": Elsewhere(".venv", "nothing runs without it: it has made the environment that runs the tests"),
    "make demo": Elsewhere("tests/e2e/test_demo.py", "a fleet of its own; docs/tutorial.md's run has one", '"demo"'),
    "make package": Elsewhere(
        "tests/terraform/test_installation.py", "half a minute, and a machine that runs it", "make_package"
    ),
    "make reference": Elsewhere("tests/docs/test_reference.py", "it writes the pages that are tested", "reference"),
    "make bench-fleet": Elsewhere(SMALL, MINUTES, "make bench-fleet"),
    "sudo make bench-fleet": Elsewhere(SMALL, MINUTES, "make bench-fleet"),
    "make bench-map": Elsewhere(SMALL, MINUTES, "make bench-map"),
    "make bench-pages": Elsewhere(SMALL, MINUTES, "make bench-pages"),
    "make bench-recorder": Elsewhere(SMALL, MINUTES, "make bench-recorder"),
    "make scheduling": Elsewhere(SMALL, MINUTES, "make scheduling"),
    "make screenshots": Elsewhere("", "it writes the documents' pictures; scenes and pages are those of tests/pages"),
    "fdist bench": Elsewhere("tests/e2e/test_cli.py", "it sends 20 GB; the test sends less", '"bench"'),
    "fdist standing rollback": Elsewhere(
        "tests/cli/test_standing.py", "it takes a second version of what the page keeps", '"rollback"'
    ),
}


def left_out(line: str) -> Elsewhere | None:
    """What runs a line of a block in place of the page's own run; None where that does."""
    words = line.split()
    for start, found in ELSEWHERE.items():
        if words[: len(start.split())] == start.split():
            return found
    return None
