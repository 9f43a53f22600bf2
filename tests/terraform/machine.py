"""A machine on which start-up scripts run for real, below a directory of its own.

What only root or a real disk can do is played by small programs that note how they were called: `calls`.
"""

from __future__ import annotations

import configparser
import getpass
import os
import shlex
import subprocess
import sys
from pathlib import Path

from fdist_site.local.processes import LocalProcess, ProcessGroup
from tests.cloud import Cloud
from tests.terraform.environment import PROJECT

SCRIPTS = PROJECT / "terraform" / "scripts"
PLAYED = ("systemctl", "sysctl", "mount", "mountpoint", "blkid", "mkfs.xfs", "mkfs.ext4", "mdadm", "apt-get", "chown")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Machine:
    """programs: what the played programs do, in shell, besides noting the call; they succeed unless told."""

    def __init__(self, root: Path, cloud: Cloud, programs: dict[str, str] | None = None) -> None:
        self.root = root
        self.cloud = cloud
        self.bin = root / "played"
        self.bin.mkdir(parents=True)
        self.journal = root / "calls"
        self.journal.touch()
        for name in PLAYED:
            self.play(name, (programs or {}).get(name, ""))
        python = self.bin / f"python{VERSION}"
        python.symlink_to(Path(sys.base_prefix) / "bin" / python.name)

    def play(self, name: str, does: str) -> None:
        program = self.bin / name
        program.write_text(f'#!/bin/bash\necho "{name} $*" >> {shlex.quote(str(self.journal))}\n{does}\n')
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self.journal.read_text().splitlines()

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FDIST_", "DJANGO_"))}
        return (
            kept
            | self.cloud.environment
            | {
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "FDIST_ROOT": str(self.root),
                "FDIST_ACCOUNT": getpass.getuser(),
                "FDIST_REDIS_ACCOUNT": getpass.getuser(),
                "FDIST_PATIENCE": "0",
            }
        )

    def run(self, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Several scripts as one, as the machine's metadata have them."""
        script = self.root / f"{names[-1]}.sh"
        script.write_text("\n".join((SCRIPTS / f"{name}.sh").read_text() for name in names))
        return subprocess.run(
            ["bash", script], env=self.environment | environment, capture_output=True, text=True, timeout=100
        )

    def settings(self, file: Path) -> dict[str, str]:
        """What systemd would read from an environment file."""
        return dict(line.split("=", 1) for line in file.read_text().splitlines() if line)

    def start(self, group: ProcessGroup, unit: str, *changes: tuple[str, str]) -> LocalProcess:
        """Run what a unit that the scripts installed says. changes: in its text, such as a port that is free."""
        text = (self.root / f"etc/systemd/system/{unit}.service").read_text()
        for old, new in (*changes, ("/opt/fdist", f"{self.root}/opt/fdist"), ("/etc/fdist", f"{self.root}/etc/fdist")):
            assert old in text, (unit, old)
            text = text.replace(old, new)
        parsed = configparser.ConfigParser(strict=False, interpolation=None)
        parsed.optionxform = str  # type: ignore[assignment,method-assign]
        parsed.read_string(text)
        service = parsed["Service"]
        environment = {"PATH": os.environ["PATH"]}
        if "Environment" in service:
            environment |= dict([service["Environment"].split("=", 1)])
        environment |= self.settings(Path(service["EnvironmentFile"]))
        argv = shlex.split(service["ExecStart"])
        return group.start(unit, argv, env=environment, cwd=Path(service["WorkingDirectory"]))
