"""Has checkov look for known mistakes in terraform/: `python -m tests.terraform.policy [checkov's options]`.

Not a part of the tests: it takes as long as all others of this folder together. Exceptions are in .checkov.yaml.
"""

from __future__ import annotations

import subprocess
import sys

from tests.terraform.environment import HERE, PROJECT, Unavailable, make

FOLDER = PROJECT / "terraform"


def main(arguments: list[str]) -> int:
    try:
        checkov = make(HERE / "requirements-checkov.lock")
    except Unavailable as reason:
        print(f"checkov is left out: {reason}")
        return 0
    config = ["--config-file", FOLDER / ".checkov.yaml", "--directory", FOLDER]
    done = subprocess.run(
        [checkov.python, checkov.program("checkov"), *config, *arguments], capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        return done.returncode
    print("checkov finds nothing that is not justified")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
