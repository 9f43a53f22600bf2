"""What gcloud takes, of the commands that we use: gcloud.json, written from the real one.

    python -m tests.played.surface

Needs Google's gcloud on PATH. A test holds the file to the gcloud that is there, so that the stand-in takes nothing
that the real one would refuse; on machines without one the file is what counts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("gcloud.json")
COMMANDS = (
    "auth application-default login",
    "auth login",
    "compute instance-groups managed list-instances",
    "compute instance-groups managed rolling-action replace",
    "compute instance-groups managed update-instances",
    "compute ssh",
    "compute start-iap-tunnel",
    "secrets versions access",
    "sql instances clone",
    "storage buckets create",
    "storage buckets describe",
    "storage buckets update",
)
# Runs in gcloud's own Python, with its own modules: it prints each command's positional arguments and flags.
ASKING = """
import json, sys
root = sys.argv[1]
sys.path[0:0] = [f"{root}/lib", f"{root}/lib/third_party"]
from googlecloudsdk import gcloud_main
from googlecloudsdk.core import config
top = gcloud_main.CreateCLI([])._TopElement()
found = {}
for command in sys.argv[2:]:
    taken = top.LoadSubElementByPath(command.split()).ai
    direct = {option for each in taken.arguments for option in getattr(each, "option_strings", ())}
    flags = {}
    words = command.split()
    groups = [top] + [top.LoadSubElementByPath(words[:n]) for n in range(1, len(words))]
    for flag in [each for group in groups for each in group.ai.flag_args] + list(taken.flag_args):
        for option in flag.option_strings:
            if option.startswith("---"):
                continue
            flags[option] = {"takes": 0 if flag.nargs == 0 else 1}
            if flag.choices and len(flag.choices) < 10:
                flags[option]["choices"] = sorted(map(str, flag.choices))
            if option in direct and flag.required:
                flags[option]["required"] = True
    found[command] = {
        "positional": [
            {"name": each.metavar or each.dest, "many": each.nargs in ("*", "+"),
             "required": each.nargs not in ("*", "?") and each.nargs != "..."}
            for each in taken.positional_args
        ],
        "flags": dict(sorted(flags.items())),
    }
print(json.dumps({"version": config.CLOUD_SDK_VERSION, "commands": found}))
"""


def real_gcloud() -> Path | None:
    """Google's own program, if this machine has it; its folder has the modules that we read."""
    found = shutil.which("gcloud")
    root = Path(found).resolve().parents[1] if found else Path("/none")
    return root / "bin" / "gcloud" if (root / "lib" / "googlecloudsdk").is_dir() else None


def read() -> dict[str, Any]:
    """The real gcloud's answer; raises FileNotFoundError where there is none."""
    gcloud = real_gcloud()
    if gcloud is None:
        raise FileNotFoundError("Google's gcloud is not on PATH")
    root = gcloud.parents[1]
    bundled = sorted(root.glob("platform/bundledpython*/bin/python3"))
    argv = [str(bundled[0] if bundled else sys.executable), "-c", ASKING, str(root), *COMMANDS]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    if answer.returncode:
        raise RuntimeError(f"gcloud's modules could not be read:\n{answer.stderr[-2000:]}")
    surface: dict[str, Any] = json.loads(answer.stdout)
    return surface


if __name__ == "__main__":
    FILE.write_text(json.dumps(read(), indent=1) + "\n")
