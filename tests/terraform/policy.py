"""Has checkov look for known mistakes in terraform/: `python -m tests.terraform.policy [checkov's options]`.

Not a part of the tests: it takes as long as half of this folder. Exceptions are in terraform/.checkov.yaml.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.terraform.environment import HERE, PROJECT, Environment, Unavailable, make

FOLDER = PROJECT / "terraform"
KINDS_OF_REDIS = ("valkey", "vm")  # resources that are there for a variable's value alone are looked at, too


def scan(checkov: Environment, variables: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    where = ["--config-file", FOLDER / ".checkov.yaml", "--directory", FOLDER, "--var-file", variables]
    program = [checkov.python, checkov.program("checkov")]
    return subprocess.run([*program, *where, *arguments], capture_output=True, text=True)


def main(arguments: list[str]) -> int:
    try:
        checkov = make(HERE / "requirements-checkov.lock")
    except Unavailable as reason:
        print(f"checkov is left out: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        for kind in KINDS_OF_REDIS:
            variables = Path(temporary) / f"{kind}.tfvars"
            variables.write_text(f'redis = "{kind}"\n')
            done = scan(checkov, variables, arguments)
            if done.returncode:
                print(done.stdout + done.stderr, file=sys.stderr)
                return done.returncode
    print("checkov finds nothing that is not justified")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
